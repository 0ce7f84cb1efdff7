"""Ends a connection when the editor's process has ended.

The end of a pipe is not enough, since a child process of the editor may keep it open. For this purpose
editors send their process id in ``initialize``.
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

    With `sole` this is the process's only connection: the process then exits even if the event loop is
    blocked, for example in a write to a full pipe.
    """

    def __init__(self, *, sole: bool = False) -> None:
        self._sole_connection = sole
        self._loop = asyncio.get_running_loop()
        self._serving: asyncio.Task[int] | None = None
        self._finished = threading.Event()
        self._editor_ended = False

    def watch(self, pid: int) -> None:
        """Cancel the connection once the process `pid` has ended.

        An unknown process is ignored: the editor may run outside of this container, for example. So it is
        looked up now, and not by the thread, before which it might end.
        """
        import psutil  # imported here, since only servers need it

        try:
            process = psutil.Process(pid)
        except (psutil.Error, ValueError, OverflowError):
            return
        threading.Thread(target=self._watch, args=(process,), name="editor process", daemon=True).start()

    async def serve(self, serving: Coroutine[Any, Any, int]) -> int:
        """The result of `serving`, or 1 if it was cancelled because the editor's process has ended."""
        self._serving = self._loop.create_task(serving)
        try:
            return await self._serving
        except asyncio.CancelledError:
            if not self._editor_ended:
                raise
            return 1
        finally:
            self._finished.set()

    def _watch(self, process: psutil.Process) -> None:
        while _is_running(process):
            if self._finished.wait(_POLL_SECONDS):
                return
        self._editor_ended = True
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._cancel)
        if self._sole_connection and not self._finished.wait(_CLEANUP_SECONDS):
            os._exit(1)

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()


def _is_running(process: psutil.Process) -> bool:
    """Whether the process is running: not a zombie, and its id not reused by another process."""
    import psutil

    try:
        return bool(process.is_running() and (psutil.WINDOWS or process.status() != psutil.STATUS_ZOMBIE))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
