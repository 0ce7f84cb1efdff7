"""An event loop whose clock jumps: tests of waiting take no time, and do not depend on the machine's."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Params = ParamSpec("Params")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """When nothing is ready, it is the next timer's time; without a timer, nobody can ever go on."""

    def __init__(self) -> None:
        self.moment = 1000.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self.moment


class _Skipping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for something that never happens")
        if not ready and timeout:
            self._loop.moment += timeout
        return ready


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end in a loop of its own, as `asyncio.run` does."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def in_virtual_time(
    test: Callable[Params, Coroutine[Any, Any, None]],
) -> Callable[Params, None]:
    """Make a coroutine a test that runs in virtual time."""

    @functools.wraps(test)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> None:
        run(test(*args, **kwargs))

    del wrapped.__wrapped__  # or pytest takes it for the coroutine that it was
    return wrapped


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(30):
        await asyncio.sleep(0)
