"""Chooses how many threads a forward pass uses: measured when a model is opened, one while the machine is
busy.

More threads are not always faster: decoding mostly waits for memory, small models spend their time between
operations, and on busy cores every operation waits for its slowest thread. Models are often opened while an
editor starts and all cores are busy, so the engine measures again later.

    threads = ThreadTuner(torch.set_num_threads, cores())
    threads.tune(run)                            # run(rows) makes a pass
    threads.prepare(rows, latencies.slowdown)    # before each pass, in the thread that makes it
    threads.retune_prefill(run)                  # when idle: an iterator that makes one pass per item
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, MutableMapping
from functools import partial
from statistics import median

import psutil

PREFILL_TRIAL_ROWS = 64
"""Rows of the passes that are measured to choose the threads for prefill."""

MIN_PREFILL_ROWS = 8
"""Smaller passes use the threads for decoding: like a single row, they are limited by reading the weights."""

MIN_SPEEDUP = 1.15
"""How much faster more threads must be, since they take cores from other programs."""

ROUNDS, PASSES_PER_ROUND = 3, 2
"""Two numbers of threads are compared in alternating rounds, as long as there is time."""

TRIAL_SECONDS = 0.1
"""Time for comparing two numbers of threads; exceeded only if one round takes longer."""

BUSY_SLOWDOWN = 3.0
"""From this slowdown on, the threads of a pass are waiting for each other."""

SINGLE_THREAD_SECONDS = 10.0
"""How long a single thread is used then, before the others are tried again."""


def cores(environment: MutableMapping[str, str] | None = None) -> int:
    """The most threads to use: OMP_NUM_THREADS if the user set it, else one per usable physical core."""
    environment = os.environ if environment is None else environment
    asked = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, psutil.cpu_count(logical=False) or usable)


class ThreadTuner:
    """Chooses the number of threads for each pass.

    Args:
        set_threads: sets the number for the calling thread's operations; `torch.set_num_threads`.
        limit: the most threads to use.
        clock: in seconds.
    """

    def __init__(
        self, set_threads: Callable[[int], None], limit: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._set_threads, self._limit, self._clock = set_threads, limit, clock
        self._threads = 0  # not set yet
        self.decode = self.prefill = 1
        """The chosen numbers of threads on an idle machine."""
        self._single_until = clock()

    def tune(self, run: Callable[[int], object]) -> None:
        """Measure and choose; `run` makes a pass of the given rows and returns when it is done."""

        def both() -> Generator[None, None, None]:
            self.decode = yield from self._fewest(partial(run, 1))
            yield from self.retune_prefill(run)

        deque(both(), maxlen=0)

    def retune_prefill(self, run: Callable[[int], object]) -> Generator[None, None, None]:
        """Measure and choose again for prefill, one pass per item, so that requests can come in between."""
        self.prefill = yield from self._fewest(partial(run, PREFILL_TRIAL_ROWS))

    def prepare(self, rows: int, slowdown: float) -> None:
        """Set the number of threads for a pass of `rows` tokens; `slowdown` as in `LatencyModel`."""
        if slowdown > BUSY_SLOWDOWN and self._threads > 1:
            self._single_until = self._clock() + SINGLE_THREAD_SECONDS
        chosen = self.decode if rows < MIN_PREFILL_ROWS else self.prefill
        self._set(1 if self._clock() < self._single_until else chosen)

    def _fewest(self, work: Callable[[], object]) -> Generator[None, None, int]:
        """The smallest number of threads of which no larger one is clearly faster."""
        chosen = 1
        while chosen < self._limit:
            more = min(2 * chosen, self._limit)
            if not (yield from self._is_faster(work, more, chosen)):
                break
            chosen = more
        return chosen

    def _is_faster(self, work: Callable[[], object], more: int, fewer: int) -> Generator[None, None, bool]:
        times: dict[int, list[float]] = {fewer: [], more: []}
        for threads in times:  # a warm-up: threads start, memory is allocated
            self._set(threads)
            work()
            yield
        spent = 0.0
        for _ in range(ROUNDS):
            for threads, seconds in times.items():
                for _ in range(PASSES_PER_ROUND):
                    self._set(threads)
                    seconds.append(self._timed(work))
                    spent += seconds[-1]
                    yield
            if spent >= TRIAL_SECONDS:
                break
        return median(times[fewer]) > MIN_SPEEDUP * median(times[more])

    def _timed(self, work: Callable[[], object]) -> float:
        begun = self._clock()
        work()
        return self._clock() - begun

    def _set(self, threads: int) -> None:
        if threads != self._threads:
            self._set_threads(threads)
            self._threads = threads
