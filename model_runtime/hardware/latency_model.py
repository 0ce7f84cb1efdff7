"""How long a pass of the model takes on this machine, from how long passes have taken so far.

Beside the engine, which sizes by it the pieces of a prompt, the context that fits a deadline, and drafts.
What a pass of some width costs on a quiet machine is settled by the first few; how busy the machine is
changes from second to second, concerns all widths alike, and is told by the latest passes of any.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from statistics import median

MEASURED = (1, 32, 8, 16, 4, 64)
"""The widths of passes that are tried when a model is opened, in the order of what is gained by knowing."""

MEASURING_SECONDS = 0.5
"""What that may take; more only where a few rows take longer."""

PIECES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""The sizes that a piece of a prompt may have."""

SAMPLES = 9
"""A median is of so many passes: one hiccup does not move it, five slow passes in a row do."""

HOPED_GROWTH, HOPED_ROWS = 1.25, 32
"""What twice the rows are hoped to cost until it was tried, up to so many rows or twice the most that were:
without hope nothing wider ever would be."""

WASTE = 2.0
"""Shorter pieces may cost so many times as much as longer ones, by the row."""


INSTANT = 1e-9
"""Seconds: what nothing is quicker than, for clocks that stand still."""


class _Width:
    """Passes of about so many rows, on a machine that has nothing else to do."""

    def __init__(self, slope: float) -> None:
        self.slope = slope  # what a token that came before adds, relative to none
        self._samples: list[float] = []
        self._seconds = 0.0

    def learn(self, start: int, seconds: float) -> None:
        if len(self._samples) < SAMPLES:
            self._samples.append(max(seconds, INSTANT) / (1 + self.slope * start))
            self._seconds = median(self._samples)

    @property
    def known(self) -> bool:
        return bool(self._samples)

    def forget(self) -> None:
        self._samples.clear()

    def seconds(self, start: int) -> float:
        return self._seconds * (1 + self.slope * start)


class Pace:
    """What passes cost; a pass is `rows` tokens computed after `start` others.

    Widths that were not seen yet are told from their neighbours.
    """

    def __init__(self) -> None:
        self._widths: dict[int, _Width] = {}  # by powers of two
        self._known: list[int] = []  # sorted
        self._ratios: deque[float] = deque([1.0], maxlen=SAMPLES)
        self.load = 1.0
        """How many times as long as on a quiet machine passes take now."""

    def measure(self, run: Callable[[int, int], float], farthest: int) -> None:
        """Try the widths that there is time for: `run` makes a pass of (rows, start) and says its seconds."""
        left, slope = MEASURING_SECONDS, 0.0
        for rows in MEASURED:
            far = farthest - rows
            if self._known and (far < 1 or 2 * self._hoped(rows, far) > left):
                continue
            took = [run(rows, 0)]
            if not self._known and took[0] < MEASURING_SECONDS / 10:  # all others are relative to this one
                took += [run(rows, 0), run(rows, 0)]
            if len(self._known) < 2 and far > 0:  # one row's, and many rows', which others are taken to share
                at_end = run(rows, far)
                slope = max(0.0, at_end / max(median(took), INSTANT) - 1) / far
                left -= at_end
            left -= sum(took)
            self._width(rows, slope).learn(0, median(took))

    def record(self, rows: int, start: int, seconds: float) -> None:
        """Learn from a pass that was made."""
        width = 1 << round(math.log2(rows))
        if width not in self._widths:
            nearest = min(self._known, key=lambda known: abs(known - width), default=None)
            self._width(width, self._widths[nearest].slope if nearest else 0.0)
        elif self._widths[width].known:
            self._ratios.append(max(seconds, INSTANT) / self._quiet(rows, start))
            self.load = median(self._ratios)
        if width > 1:  # which stays as it is: were all free to move, load and widths could drift apart
            self._widths[width].learn(start, seconds / self.load * width / rows)

    def relearn(self, rows: int) -> None:
        """Passes of so many rows or more are made otherwise now: the next ones tell what they cost."""
        for width, known in self._widths.items():
            if width >= max(rows, 2):
                known.forget()

    def seconds(self, rows: int, start: int) -> float:
        """How long a pass is expected to take."""
        return self._quiet(rows, start) * self.load

    def piece(self, start: int, seconds: float) -> int:
        """The rows of the largest pass that takes no longer than `seconds`.

        But no fewer than it takes to make good use of a pass: where even that takes longer, because the model
        is large or the machine is busy, short pieces would only make it worse.
        """
        most = max(HOPED_ROWS, 2 * self._known[-1])
        costs = {rows: self._hoped(rows, start) for rows in PIECES if rows <= most}
        enough = WASTE * min(cost / rows for rows, cost in costs.items())
        least = next(rows for rows, cost in costs.items() if cost / rows <= enough)
        return max([least, *(rows for rows, cost in costs.items() if cost * self.load <= seconds)])

    def prefill(self, tokens: int, start: int, piece_seconds: float) -> float:
        """How long `tokens` of a prompt take after `start` others, in pieces of at most `piece_seconds`."""
        if tokens == 0:
            return 0.0
        middle = start + tokens // 2
        piece = min(tokens, self.piece(middle, piece_seconds))
        return tokens / piece * self.seconds(piece, middle)

    def cost(self, rows: int, start: int) -> float:
        """What a pass costs, relative to one of a single row."""
        return self._quiet(rows, start) / self._quiet(1, start)

    def _width(self, rows: int, slope: float) -> _Width:
        self._widths[rows] = _Width(slope)
        self._known = sorted(self._widths)
        return self._widths[rows]

    def _hoped(self, rows: int, start: int) -> float:
        """As `_quiet`; but where no such width was tried, in the hope that more rows cost little more."""
        if 1 << round(math.log2(rows)) in self._widths:
            return self._quiet(rows, start)
        below = max(known for known in self._known if known <= rows)
        growth: float = HOPED_GROWTH ** math.log2(rows / below)
        return self._widths[below].seconds(start) * growth

    def _quiet(self, rows: int, start: int) -> float:
        """Seconds on a quiet machine: between two known widths on a line, beyond the last in proportion."""
        above = bisect_left(self._known, rows)
        if above == len(self._known):
            widest = self._known[-1]
            return self._widths[widest].seconds(start) * rows / widest
        high = self._widths[self._known[above]].seconds(start)
        if above == 0:
            return high
        below = self._known[above - 1]
        low = self._widths[below].seconds(start)
        return low + (rows - below) / (self._known[above] - below) * (high - low)
