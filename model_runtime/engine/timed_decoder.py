"""The engine's decoder: times forward passes, stops before the deadline, retries after freeing memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from model_runtime.api import OutOfMemory
from model_runtime.checkpoints import AnyDecoder
from model_runtime.decoding import CachedSequence, Logits, as_logits
from model_runtime.hardware import LatencyModel, memory_errors

Clock = Callable[[], float]

SAFETY_FACTOR = 1.25
"""A pass starts only if there is time for this many times its expected duration."""


class DeadlineReached(Exception):
    """The next pass would end after the deadline, and was not started."""


class TimedDecoder:
    """Runs the forward passes of one completion, or of background prefill.

    Args:
        decoder: computes.
        latencies: predicts the duration of each pass, and learns from it.
        reclaim_memory: frees some memory that can be spared; False if there is none.
        prepare: called with the number of rows before each pass.
        deadline: when the last pass must have ended, on `clock`; None without one.
        clock: in seconds.
    """

    def __init__(
        self,
        decoder: AnyDecoder,
        latencies: LatencyModel,
        reclaim_memory: Callable[[], bool],
        *,
        prepare: Callable[[int], None] = lambda rows: None,
        deadline: float | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._latencies = latencies
        self._reclaim_memory = reclaim_memory
        self._prepare = prepare
        self._deadline = deadline
        self._clock = clock

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Logits:
        """See `NativeDecoder.forward`; returns once the logits are computed.

        Raises:
            DeadlineReached: the pass would end after the deadline.
            OutOfMemory: there is no memory for it, even after freeing what could be freed.
        """
        rows, start, begun = len(tokens), cache.length, self._clock()
        if (
            self._deadline is not None
            and begun + SAFETY_FACTOR * self._latencies.forward_seconds(rows, start) > self._deadline
        ):
            raise DeadlineReached
        self._prepare(rows)
        result = self._try_forward(tokens, cache, logits)
        while result is None:
            freed = self._reclaim_memory()
            result = (self._try_forward if freed else self._forward)(tokens, cache, logits)
        self._latencies.record(rows, start, self._clock() - begun)
        return result

    def _try_forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"]
    ) -> Logits | None:
        """The logits, or None for lack of memory: the error is dropped here, with all that it references."""
        try:
            return self._forward(tokens, cache, logits)
        except OutOfMemory:
            return None

    def _forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"]
    ) -> Logits:
        with memory_errors():
            return as_logits(self._decoder.forward(tokens, cache, logits))
