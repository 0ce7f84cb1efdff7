"""How many threads a pass is computed with: measured when a model is opened, and fewer while cores are busy.

Beside the engine. More threads are not always quicker: a pass of one row is mostly waiting for memory, small
models spend their time between the operations, and where other programs have the cores, every operation waits
until the last of its threads had its turn. Models are often opened while an editor starts and all cores are
busy, so what was chosen then is tried again later.

    threads = Threads(torch.set_num_threads, cores())
    threads.choose(run)                # run(rows) makes a pass
    threads.prepare(rows, pace.load)   # before each pass, from the thread that makes it
    threads.choosing_again(run)        # when nobody waits: an iterator that makes a pass for each item
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, MutableMapping
from functools import partial
from statistics import median

PREFILL_ROWS = 64
"""Passes of so many rows stand for all that compute a prompt."""

FEW_ROWS = 8
"""Below that a pass is like one of a single row: it reads the weights, and does little with them."""

CLEARLY = 1.15
"""More threads have to be so many times as fast as fewer: they also take the cores from other programs."""

ROUNDS, PASSES = 3, 2
"""Two numbers of threads are tried by turns, in rounds of so many passes each, as long as there is time."""

SECONDS = 0.1
"""What trying two numbers may take; more only where a round takes longer."""

BUSY = 3.0
"""When passes take so many times as long as on a quiet machine, threads are waiting for each other."""

ALONE_SECONDS = 10.0
"""For so long there is one thread then; after that all of them are tried again."""


def cores(environment: MutableMapping[str, str] | None = None) -> int:
    """How many threads there may be: what the user's OMP_NUM_THREADS says, or else a core for each."""
    environment = os.environ if environment is None else environment
    asked = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, psutil.cpu_count(logical=False) or usable)


class Threads:
    """Chooses the number of threads for each pass.

    Args:
        set_threads: makes the calling thread's operations use so many; `torch.set_num_threads`.
        most: how many there may be.
        clock: in seconds.
    """

    def __init__(
        self, set_threads: Callable[[int], None], most: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._set_threads, self._most, self._clock = set_threads, most, clock
        self._threads = 0  # as yet unknown
        self.decode = self.prefill = 1
        """How many threads there are for passes of a few rows, and for those of many, on a quiet machine."""
        self._alone_until = clock()

    def choose(self, run: Callable[[int], object]) -> None:
        """Measure and choose; `run` makes a pass of so many rows, and returns when it is done."""

        def both() -> Generator[None, None, None]:
            self.decode = yield from self._fewest(partial(run, 1))
            yield from self.choosing_again(run)

        deque(both(), maxlen=0)

    def choosing_again(self, run: Callable[[int], object]) -> Generator[None, None, None]:
        """Measure anew for passes of many rows, one pass for each item: somebody may come who waits."""
        self.prefill = yield from self._fewest(partial(run, PREFILL_ROWS))

    def prepare(self, rows: int, load: float) -> None:
        """Set the number of threads for a pass.

        Args:
            rows: how many tokens it computes.
            load: how many times as long as on a quiet machine passes take now.
        """
        wanted = self.decode if rows < FEW_ROWS else self.prefill
        if load > BUSY and self._threads > 1:
            self._alone_until = self._clock() + ALONE_SECONDS
        self._set(1 if self._clock() < self._alone_until else wanted)

    def _fewest(self, work: Callable[[], object]) -> Generator[None, None, int]:
        """The number of threads that no larger one is clearly faster than."""
        chosen = 1
        while chosen < self._most:
            more = min(2 * chosen, self._most)
            if not (yield from self._clearly_faster(work, more, chosen)):
                break
            chosen = more
        return chosen

    def _clearly_faster(
        self, work: Callable[[], object], more: int, fewer: int
    ) -> Generator[None, None, bool]:
        taken: dict[int, list[float]] = {fewer: [], more: []}
        for threads in taken:  # once without the clock: threads start, memory is taken
            self._set(threads)
            work()
            yield
        spent = 0.0
        for _ in range(ROUNDS):
            for threads, seconds in taken.items():
                for _ in range(PASSES):
                    self._set(threads)
                    seconds.append(self._seconds(work))
                    spent += seconds[-1]
                    yield
            if spent >= SECONDS:
                break
        return median(taken[fewer]) > CLEARLY * median(taken[more])

    def _seconds(self, work: Callable[[], object]) -> float:
        begun = self._clock()
        work()
        return self._clock() - begun

    def _set(self, threads: int) -> None:
        if threads != self._threads:
            self._set_threads(threads)
            self._threads = threads
