"""Tells an editor that asks for it how the server is: ``fimble/status``.

server ▶ **status** ▶ jsonrpc. Editors that do not know a notification may show it to their users as a
mistake, so it goes only to those that declare ``experimental.fimbleStatus``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["loading", "ready", "generating", "error"]


class Status:
    """What the server is doing, told whenever it changes.

    `tell` takes the notification's parameters; None tells nobody.
    """

    def __init__(self, tell: Callable[[dict[str, object]], None] | None = None) -> None:
        self._tell = tell
        self._enabled = True
        self._model: str | None = None
        self._told: dict[str, object] = {}
        self._facts: dict[str, object] = {"state": "loading"}

    def model(self) -> str | None:
        """The name of the model, once it is loaded."""
        return self._model

    def loading(self, share: float, message: str) -> None:
        """The model is being loaded; `share` goes from 0 to 1."""
        self._model = None
        self._say(state="loading", share=round(share, 2), message=message)

    def ready(self, model: str) -> None:
        """`model` can be asked."""
        self._model = model
        self._say(state="ready")

    def generating(self, model: str | None) -> None:
        """`model` writes; None where it has ended."""
        if model is not None:
            self._model = model
            self._say(state="generating")
        elif self._model is not None and self._facts["state"] == "generating":
            self._say(state="ready")

    def error(self, message: str) -> None:
        """The model cannot be used; `message` says why and what to do."""
        self._say(state="error", message=message)

    def enabled(self, enabled: bool) -> None:
        """Completions are switched on or off."""
        self._enabled = enabled
        self._say(**self._facts)

    def _say(self, **facts: object) -> None:
        self._facts = facts
        params = {**facts, "enabled": self._enabled}
        if self._model is not None:
            params["model"] = self._model
        if self._tell is not None and params != self._told:
            self._told = params
            self._tell(params)
