"""One request while it is the newest of its document: it waits for text, and it has a deadline.

The session makes one for each request and ends the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Superseded(Exception):
    """A newer request has taken this one's place."""


class Deadline:
    """When a request is answered with what there is: at the end of a latency budget.

    That is counted from when the model is loaded, which was at `started` on the event loop's clock. `passed`
    is called at the deadline; with a budget of None there is none.
    """

    def __init__(self, budget_ms: float | None, passed: Callable[[], None]) -> None:
        self.started: float | None = None
        self.is_past = False
        self._budget_ms = budget_ms
        self._passed = passed
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> float | None:
        """Count the time from now on, if it is not counted yet; the deadline, if there is one."""
        loop = asyncio.get_running_loop()
        if self.started is None:
            self.started = loop.time()
            if self._budget_ms is not None:
                self._timer = loop.call_at(self.started + self._budget_ms / 1000, self.expire)
        return None if self._timer is None else self._timer.when()

    def expire(self) -> None:
        """The deadline has come, or the backend writes no more before it."""
        self.cancel()
        self.is_past = True
        self._passed()

    def cancel(self) -> None:
        """Nobody waits for it."""
        if self._timer is not None:
            self._timer.cancel()


class PendingRequest:
    """A request while it is the newest of its document. `waited` says that it had to wait at all."""

    def __init__(self) -> None:
        self.waited = False
        self._error: BaseException | None = None
        self._over = False
        self._changed = asyncio.Event()
        self._deadline: Deadline | None = None

    def deadline(self, budget_ms: float | None) -> Deadline:
        """A new deadline, in place of the one before: for what is asked of the model next."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = Deadline(budget_ms, self.wake)
        return self._deadline

    def wake(self, error: BaseException | None = None) -> None:
        """Something has changed, or what is waited for has failed with `error`."""
        self._error = error or self._error
        self._changed.set()

    def end(self) -> None:
        """Another request has come, or this one is answered."""
        self._over = True
        self._changed.set()
        if self._deadline is not None:
            self._deadline.cancel()

    async def change(self) -> None:
        """Wait until something has changed.

        Raises:
            Superseded: the request is over.
            BaseException: what is waited for has failed.
        """
        self.waited = True
        await self._changed.wait()
        self._changed.clear()
        if self._over:
            raise Superseded
        if self._error is not None:
            raise self._error

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until something has changed.

        Raises:
            Superseded: the request is over.
        """
        timer = asyncio.get_running_loop().call_later(seconds, self.wake)
        try:
            await self.change()
        finally:
            timer.cancel()
