"""Runs a command's coroutine so that Ctrl-C and SIGTERM end it promptly and without a traceback.

`asyncio.run` is not used because it waits for worker threads, and one of them may be loading a model for many
seconds.
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
    """Run `work` and return its result. SIGINT and SIGTERM cancel it; it then has 1.5 seconds to clean up.

    After that time, or at a second signal, the process exits without further cleanup.

    Raises:
        KeyboardInterrupt: SIGINT was received.
        SystemExit: SIGTERM was received; the code is 143 by convention.
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
    """Call `interrupt` at the first SIGINT or SIGTERM; yields the list of received signals."""
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
        with suppress(RuntimeError):  # the event loop is closed already
            interrupt()

    # Started here, since starting a thread takes locks that a signal handler must not wait for.
    threading.Thread(target=enforce, name="deadline", daemon=True).start()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell may have set it to be ignored, for a process in the background.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        over.set()
        first.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the remaining tasks and close `loop`, without waiting for threads."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
