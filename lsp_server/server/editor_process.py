"""Ends a connection once the editor's process has ended.

serving ▶ **editor_process**. A pipe tells that only when nobody else holds it open, and a child of the
editor may. LSP has the editor name its process in ``initialize`` for this.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psutil

_POLL_SECONDS: Final = 0.5
_CLEANUP_SECONDS: Final = 1.0


class EditorProcess:
    """The process of the editor that a connection serves.

    With `sole` this process serves no other one: it ends even where the event loop hangs, in a write that
    nobody reads.
    """

    def __init__(self, *, sole: bool = False) -> None:
        self._sole = sole
        self._loop = asyncio.get_running_loop()
        self._serving: asyncio.Task[int] | None = None
        self._served = threading.Event()
        self._ended = False

    def watch(self, pid: int) -> None:
        """Cancel what is served once the process `pid` has ended.

        Where there is no such process it says nothing: that of an editor outside of our container, say.
        """
        threading.Thread(target=self._watch, args=(pid,), name="editor process", daemon=True).start()

    async def serve(self, serving: Coroutine[Any, Any, int]) -> int:
        """What `serving` returns, or 1 where it was cancelled because the editor's process has ended."""
        self._serving = self._loop.create_task(serving)
        try:
            return await self._serving
        except asyncio.CancelledError:
            if not self._ended:
                raise
            return 1
        finally:
            self._served.set()

    def _watch(self, pid: int) -> None:
        import psutil  # here, since the editor waits for the answer to `initialize`

        try:
            process = psutil.Process(pid)
        except (psutil.NoSuchProcess, ValueError):
            return
        while _runs(process):
            if self._served.wait(_POLL_SECONDS):
                return
        self._ended = True
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._cancel)
        if self._sole and not self._served.wait(_CLEANUP_SECONDS):
            os._exit(1)

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()


def _runs(process: psutil.Process) -> bool:
    """Whether it is there: neither a zombie nor another process, which has its id now."""
    import psutil

    try:
        return bool(process.is_running() and (psutil.WINDOWS or process.status() != psutil.STATUS_ZOMBIE))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
