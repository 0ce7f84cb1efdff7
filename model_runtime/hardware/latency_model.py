"""Forward-pass latency model: predicts how long a pass takes on this machine, and learns from every pass.

The engine uses it to choose prefill chunks, the context that fits a deadline, and draft lengths. The latency
on an idle machine, by number of rows, is settled by the first few passes. How much slower the machine is at
the moment is one factor for all passes, taken from the latest ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from statistics import median

CALIBRATION_ROWS = (1, 32, 8, 16, 4, 64)
"""Numbers of rows measured when a model is opened, the most useful first."""

CALIBRATION_SECONDS = 0.5
"""Time for calibration; exceeded only if a few rows take longer."""

CHUNK_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""The sizes of a prefill chunk, in tokens."""

SAMPLES = 9
"""Passes in a median: one outlier does not move it, five slow passes in a row do."""

OPTIMISTIC_GROWTH, OPTIMISTIC_ROWS = 1.25, 32
"""Assumed cost of doubling the rows where that is unmeasured, up to this many rows or twice the most
measured. A realistic guess would keep larger chunks from ever being tried."""

MAX_ROW_COST_RATIO = 2.0
"""A small chunk may cost up to this many times as much per row as a large one."""

MIN_SECONDS = 1e-9
"""The least duration of a pass, for clocks that stand still."""


class _Bucket:
    """The latency on an idle machine of passes with about the same number of rows."""

    def __init__(self, slope: float) -> None:
        self.slope = slope  # relative cost of each cached token that the pass attends to
        self._samples: list[float] = []
        self._median = 0.0

    def add(self, start: int, seconds: float) -> None:
        if len(self._samples) < SAMPLES:
            self._samples.append(max(seconds, MIN_SECONDS) / (1 + self.slope * start))
            self._median = median(self._samples)

    @property
    def measured(self) -> bool:
        return bool(self._samples)

    def reset(self) -> None:
        self._samples.clear()

    def seconds(self, start: int) -> float:
        return self._median * (1 + self.slope * start)


class LatencyModel:
    """Predicts the seconds of a forward pass over `rows` tokens after `start` cached ones.

    Numbers of rows that were not measured are interpolated.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, _Bucket] = {}  # by rows, rounded to a power of two
        self._sizes: list[int] = []  # the keys, sorted
        self._slowdowns: deque[float] = deque([1.0], maxlen=SAMPLES)
        self.slowdown = 1.0
        """How many times as long as on an idle machine passes take at the moment."""

    def calibrate(self, run: Callable[[int, int], float], longest: int) -> None:
        """Measure the numbers of rows that there is time for.

        Args:
            run: makes a pass of (rows, start) and returns its seconds.
            longest: the most tokens in the cache.
        """
        left, slope = CALIBRATION_SECONDS, 0.0
        for rows in CALIBRATION_ROWS:
            far = longest - rows
            if self._sizes and (far < 1 or 2 * self._optimistic(rows, far) > left):
                continue
            took = [run(rows, 0)]
            if not self._sizes and took[0] < CALIBRATION_SECONDS / 10:  # the base of all relative costs
                took += [run(rows, 0), run(rows, 0)]
            if len(self._sizes) < 2 and far > 0:  # one slope for a single row, one for all larger passes
                at_end = run(rows, far)
                slope = max(0.0, at_end / max(median(took), MIN_SECONDS) - 1) / far
                left -= at_end
            left -= sum(took)
            self._add_bucket(rows, slope).add(0, median(took))

    def record(self, rows: int, start: int, seconds: float) -> None:
        """Learn from a pass."""
        size = 1 << round(math.log2(rows))
        if size not in self._buckets:
            nearest = min(self._sizes, key=lambda known: abs(known - size), default=None)
            self._add_bucket(size, self._buckets[nearest].slope if nearest else 0.0)
        elif self._buckets[size].measured:
            self._slowdowns.append(max(seconds, MIN_SECONDS) / self._idle_seconds(rows, start))
            self.slowdown = median(self._slowdowns)
        if size > 1:  # one row stays as calibrated: were all free to move, slowdown and buckets could drift
            self._buckets[size].add(start, seconds / self.slowdown * size / rows)

    def relearn(self, min_rows: int) -> None:
        """Forget the measurements of passes with at least `min_rows` rows, which now run differently."""
        for size, bucket in self._buckets.items():
            if size >= max(min_rows, 2):
                bucket.reset()

    def forward_seconds(self, rows: int, start: int) -> float:
        """Expected seconds of a pass."""
        return self._idle_seconds(rows, start) * self.slowdown

    def chunk_size(self, start: int, seconds: float) -> int:
        """The rows of the largest prefill chunk that takes at most `seconds`.

        Where even efficient chunks take longer, on a large model or a busy machine, the smallest efficient
        one.
        """
        most = max(OPTIMISTIC_ROWS, 2 * self._sizes[-1])
        costs = {rows: self._optimistic(rows, start) for rows in CHUNK_SIZES if rows <= most}
        max_row_cost = MAX_ROW_COST_RATIO * min(cost / rows for rows, cost in costs.items())
        least = next(rows for rows, cost in costs.items() if cost / rows <= max_row_cost)
        return max([least, *(rows for rows, cost in costs.items() if cost * self.slowdown <= seconds)])

    def prefill_seconds(self, tokens: int, start: int, chunk_seconds: float) -> float:
        """Expected seconds to prefill `tokens` after `start` others, in chunks of at most `chunk_seconds`."""
        if tokens == 0:
            return 0.0
        middle = start + tokens // 2
        chunk = min(tokens, self.chunk_size(middle, chunk_seconds))
        return tokens / chunk * self.forward_seconds(chunk, middle)

    def relative_cost(self, rows: int, start: int) -> float:
        """The cost of a pass relative to one of a single row."""
        return self._idle_seconds(rows, start) / self._idle_seconds(1, start)

    def _add_bucket(self, rows: int, slope: float) -> _Bucket:
        self._buckets[rows] = _Bucket(slope)
        self._sizes = sorted(self._buckets)
        return self._buckets[rows]

    def _optimistic(self, rows: int, start: int) -> float:
        """Idle seconds; where no such number of rows was measured, assuming that more rows cost little."""
        if 1 << round(math.log2(rows)) in self._buckets:
            return self._idle_seconds(rows, start)
        below = max(size for size in self._sizes if size <= rows)
        growth: float = OPTIMISTIC_GROWTH ** math.log2(rows / below)
        return self._buckets[below].seconds(start) * growth

    def _idle_seconds(self, rows: int, start: int) -> float:
        """Seconds on an idle machine: linear between measured numbers of rows, then proportional."""
        above = bisect_left(self._sizes, rows)
        if above == len(self._sizes):
            largest = self._sizes[-1]
            return self._buckets[largest].seconds(start) * rows / largest
        high = self._buckets[self._sizes[above]].seconds(start)
        if above == 0:
            return high
        below = self._sizes[above - 1]
        low = self._buckets[below].seconds(start)
        return low + (rows - below) / (self._sizes[above] - below) * (high - low)
