"""Shows an editor that the model is loading.

server ▶ **model_loading** ▶ jsonrpc: LSP's work-done progress, begun when the editor has made a place for
it and ended when the model is there. Loading never waits for the editor.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from lsp_server.jsonrpc import Peer, RpcError
from model_runtime.api import Backend, ModelInfo

_TOKEN: Final = "fimble/loading"
_TITLE: Final = "fimble: loading the model"


class LoadingReport:
    """The progress of one load, for an editor that has the capability ``window.workDoneProgress``."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._begun = False
        self._percentage = 0

    async def begin(self) -> None:
        """Ask the editor for a place to show progress in, and begin there; an editor may refuse."""
        try:
            await self._peer.request("window/workDoneProgress/create", {"token": _TOKEN})
        except RpcError:
            return
        self._begun = True
        self._tell({"kind": "begin", "title": _TITLE, "percentage": self._percentage})

    def report(self, share: float, message: str) -> None:
        """Show how far loading has come; `share` goes from 0 to 1."""
        self._percentage = max(self._percentage, min(100, round(share * 100)))  # it may not fall in LSP
        if self._begun:
            self._tell({"kind": "report", "percentage": self._percentage, "message": message})

    def end(self, message: str) -> None:
        """Loading is over."""
        if self._begun:
            self._begun = False
            self._tell({"kind": "end", "message": message})

    def _tell(self, value: dict[str, object]) -> None:
        self._peer.notify("$/progress", {"token": _TOKEN, "value": value})


async def load_with_report(backend: Backend, peer: Peer) -> ModelInfo:
    """Load the model, and show that in the editor.

    Raises:
        BackendError: the model cannot be used.
    """
    loop = asyncio.get_running_loop()
    report = LoadingReport(peer)

    def progress(share: float, message: str) -> None:  # called from the backend's thread
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(report.report, share, message)

    beginning = loop.create_task(report.begin())
    outcome = "failed"
    try:
        info = await backend.load(progress)
        outcome = f"{info.name} is ready"
    finally:
        beginning.cancel()
        report.end(outcome)
    return info
