"""Tells an editor that asks for it how the server is: ``fimble/status``.

workspace ▶ **status** ▶ protocol. Editors that do not know a notification may show it to their users as a
mistake, so it goes only to those that declare ``experimental.fimbleStatus``.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from lsp_server.protocol import StatusParams


class Status:
    """What the server is doing, told whenever it changes; also whether completions are `enabled`.

    `tell` takes the notification's parameters; None tells nobody.
    """

    def __init__(self, tell: Callable[[StatusParams], None] | None = None) -> None:
        self._tell = tell
        self._now = StatusParams("loading", enabled=True)
        self._told: StatusParams | None = None

    @property
    def model(self) -> str | None:
        """The name of the model, once it is loaded."""
        return self._now.model

    @property
    def enabled(self) -> bool:
        """Whether the user wants completions."""
        return self._now.enabled

    def loading(self, share: float, message: str) -> None:
        """The model is being loaded; `share` goes from 0 to 1."""
        self._say(StatusParams("loading", self.enabled, share=round(share, 2), message=message))

    def ready(self, model: str) -> None:
        """`model` can be asked."""
        self._say(StatusParams("ready", self.enabled, model))

    def generating(self, model: str | None) -> None:
        """`model` writes; None where it has ended."""
        if model is not None:
            self._say(StatusParams("generating", self.enabled, model))
        elif self.model is not None and self._now.state == "generating":
            self._say(StatusParams("ready", self.enabled, self.model))

    def error(self, message: str) -> None:
        """The model cannot be used; `message` says why and what to do."""
        self._say(StatusParams("error", self.enabled, self.model, message=message))

    def toggle(self) -> bool:
        """Switch completions off, or on again; whether they are on now."""
        self._say(evolve(self._now, enabled=not self.enabled))
        return self.enabled

    def _say(self, status: StatusParams) -> None:
        self._now = status
        if self._tell is not None and status != self._told:
            self._told = status
            self._tell(status)
