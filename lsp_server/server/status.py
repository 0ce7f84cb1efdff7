"""Tracks the status of the server and sends it to the editor as ``fimble/status``.

Only editors that declare ``experimental.fimbleStatus`` get the notification: others may show an unknown
notification to their users as an error.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from lsp_server.protocol import StatusParams


class Status:
    """The status of the server, and whether completions are `enabled`.

    `send`, if given, is called with the notification's parameters whenever they change.
    """

    def __init__(self, send: Callable[[StatusParams], None] | None = None) -> None:
        self._send = send
        self._current = StatusParams("loading", enabled=True)
        self._sent: StatusParams | None = None
        self._detail: str | None = None

    @property
    def model(self) -> str | None:
        """The name of the model, once it is loaded."""
        return self._current.model

    @property
    def enabled(self) -> bool:
        """Whether completions are enabled by the user."""
        return self._current.enabled

    def loading(self, share: float, message: str) -> None:
        """The model is being loaded; `share` goes from 0 to 1."""
        self._detail = None
        self._set(StatusParams("loading", self.enabled, share=round(share, 2), message=message))

    def ready(self, model: str, detail: str) -> None:
        """`model` is loaded; `detail` says what computes it and the memory that it takes."""
        self._detail = detail
        self._set(StatusParams("ready", self.enabled, model, detail=detail))

    def generating(self, model: str | None) -> None:
        """`model` is generating; None when it has stopped."""
        if model is not None:
            self._set(StatusParams("generating", self.enabled, model, detail=self._detail))
        elif self.model is not None and self._current.state == "generating":
            self._set(StatusParams("ready", self.enabled, self.model, detail=self._detail))

    def error(self, message: str) -> None:
        """The model cannot be used; `message` says why and what to do."""
        self._set(StatusParams("error", self.enabled, self.model, message=message))

    def toggle(self) -> bool:
        """Disable completions, or enable them again; returns whether they are enabled now."""
        self._set(evolve(self._current, enabled=not self.enabled))
        return self.enabled

    def _set(self, status: StatusParams) -> None:
        self._current = status
        if self._send is not None and status != self._sent:
            self._sent = status
            self._send(status)
