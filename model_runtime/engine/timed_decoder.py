"""The decoder as the engine uses it: each pass is timed, is in time, and gets a second chance for memory.

engine ▶ generate ▶ **passes** ▶ decoder. Whoever computes sees only `forward`, as the decoder has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from model_runtime.api import OutOfMemory
from model_runtime.decoding import Cache, Decoder
from model_runtime.hardware import LatencyModel, memory_errors, synchronize

Clock = Callable[[], float]

SURELY = 1.25
"""A pass is begun if there is time for so many times what it is expected to take."""


class OutOfTime(Exception):
    """The next pass would end after the deadline, and was not begun."""


class Passes:
    """Makes the passes of one completion, or those that nobody waits for.

    Args:
        decoder: computes.
        latencies: is told how long each pass took.
        make_room: frees what memory can be spared.
        prepare: is told the rows of each pass before it is made.
        deadline: when the last pass has to have ended, on `clock`; None: whenever.
        clock: in seconds.
    """

    def __init__(
        self,
        decoder: Decoder,
        latencies: LatencyModel,
        make_room: Callable[[], None],
        *,
        prepare: Callable[[int], None] = lambda rows: None,
        deadline: float | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._latencies = latencies
        self._make_room = make_room
        self._prepare = prepare
        self._deadline = deadline
        self._clock = clock

    def forward(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last") -> Tensor:
        """See `Decoder.forward`; returns when the logits are there.

        Raises:
            OutOfTime: there is no time for it.
            OutOfMemory: there is no memory for it, though all was freed that could be.
        """
        rows, start, begun = len(tokens), cache.length, self._clock()
        if (
            self._deadline is not None
            and begun + SURELY * self._latencies.forward_seconds(rows, start) > self._deadline
        ):
            raise OutOfTime
        self._prepare(rows)
        result = self._attempt(tokens, cache, logits)
        if result is None:
            self._make_room()
            result = self._compute(tokens, cache, logits)
        self._latencies.record(rows, start, self._clock() - begun)
        return result

    def _attempt(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"]) -> Tensor | None:
        """The logits, or None for want of memory: the error is let go here, and all that it holds on to."""
        try:
            return self._compute(tokens, cache, logits)
        except OutOfMemory:
            return None

    def _compute(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"]) -> Tensor:
        with memory_errors():
            result = self._decoder.forward(tokens, cache, logits)
            synchronize(result.device)
        return result
