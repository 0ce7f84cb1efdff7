"""Runs a command's coroutine so that Ctrl-C and SIGTERM end it quietly and soon.

commands ▶ **event_loop**. `asyncio.run` would wait for every thread that a coroutine has waited for, and
one of those may load a model for many seconds yet.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CLEANUP_SECONDS: Final = 1.5


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. It is cancelled by SIGINT and SIGTERM, and then has a moment to clean up.

    After that moment, or at a second signal, the process ends without it.

    Raises:
        KeyboardInterrupt: SIGINT has arrived.
        SystemExit: SIGTERM has arrived; the code is 143, as shells show such an end.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with _signals(lambda: loop.call_soon_threadsafe(task.cancel)) as received:
        try:
            result = loop.run_until_complete(task)
        except BaseException:
            if not received:
                raise
        finally:
            _close(loop)
    if received:
        raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])
    return result


@contextmanager
def _signals(interrupt: Callable[[], object]) -> Iterator[list[int]]:
    """Call `interrupt` for the first signal that should end the process; all of them are listed."""
    received: list[int] = []
    first, over = threading.Event(), threading.Event()

    def enforce() -> None:
        first.wait()
        if not over.wait(_CLEANUP_SECONDS):
            os._exit(128 + received[0])

    def receive(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(128 + number)
        first.set()
        with suppress(RuntimeError):  # the event loop is closed: it is ending anyway
            interrupt()

    # Started now, since a signal handler must not wait for the locks that this takes.
    threading.Thread(target=enforce, name="deadline", daemon=True).start()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # as in the background of a shell
                before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        over.set()
        first.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End what else runs in `loop`, but for threads."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
