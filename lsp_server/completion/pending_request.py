"""One request's waiting: for news of what is being written, for a moment in time, for its own end.

session ▶ **turn**. Whatever a request waits for wakes it, and it looks for itself what has changed.
"""

from __future__ import annotations

import asyncio


class Superseded(Exception):
    """A newer request has taken this one's place."""


class Turn:
    """A request while it is the newest of its document. `waited` says that it had to wait at all."""

    def __init__(self) -> None:
        self.waited = False
        self._error: BaseException | None = None
        self._over = False
        self._news = asyncio.Event()
        self._alarms: dict[float, asyncio.TimerHandle] = {}

    def wake(self, error: BaseException | None = None) -> None:
        """There is something to look at, or an `error` that what was waited for has ended with."""
        self._error = error
        self._news.set()

    def wake_at(self, moment: float) -> None:
        """At that time of the event loop's clock there will be."""
        if moment not in self._alarms:
            self._alarms[moment] = asyncio.get_running_loop().call_at(moment, self._news.set)

    def end(self) -> None:
        """Another request has come, or this one is answered."""
        self._over = True
        self._news.set()
        for alarm in self._alarms.values():
            alarm.cancel()

    async def news(self) -> None:
        """Wait until woken.

        Raises:
            Superseded: the turn is over.
            BaseException: the error that it was woken with.
        """
        self.waited = True
        await self._news.wait()
        self._news.clear()
        if self._over:
            raise Superseded
        if self._error is not None:
            raise self._error

    async def pause(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            Superseded: the turn is over.
        """
        self.wake_at(asyncio.get_running_loop().time() + seconds)
        await self.news()
