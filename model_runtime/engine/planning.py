"""Chooses the prompt for a request: its layout, and how much context fits the deadline.

Without a deadline a request gets as much context as fits its token budget, unless that takes long and a
smaller context is begun in the cache. With one, it gets as much as can be computed in time for a first line
as well. Context sizes are powers of two, so that the next key finds the same prompt in the cache. The engine
computes the full context in the background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from model_runtime.api import CompletionRequest
from model_runtime.engine.slots import Choice, Slots
from model_runtime.hardware import LatencyModel
from model_runtime.prompting import Prompt

MIN_CONTEXT_TOKENS = 128
"""The smallest context that is worth a completion."""

FIRST_LINE_TOKENS = 16
"""Time for this many tokens is reserved beside the prompt, but at most half of the time left."""

PATIENCE_SECONDS = 0.5
"""A request without a deadline, which mostly continues one that had a deadline, waits this long for the full
context to be computed. If that takes longer, it goes on in the context that was begun."""

MIN_BEGUN_TOKENS = 4
"""Cached tokens of a context that was begun; sentinels alone are fewer."""

CHUNK_SECONDS = 0.03
"""Duration of a prefill chunk. A closed stream frees the model this soon, well within 50 ms."""

LayOut = Callable[[CompletionRequest, int], Iterator[Prompt]]
"""(request, token budget) → its prompt in each layout of the model, the preferred one first."""


@dataclass(frozen=True)
class Plan:
    """What is computed for a request; `full` is the prompt with all context, for later requests."""

    choice: Choice
    full: Prompt


class Planner:
    """Plans requests.

    Args:
        lay_out: makes the candidate prompts.
        slots: the cached prompts.
        latencies: predicts how long the uncached rest takes.
    """

    def __init__(self, lay_out: LayOut, slots: Slots, latencies: LatencyModel) -> None:
        self._lay_out = lay_out
        self._slots = slots
        self._latencies = latencies

    def plan(self, request: CompletionRequest, budget: int, seconds: float | None) -> Plan:
        """What to compute for a request.

        Args:
            request: the request.
            budget: the most tokens in the prompt.
            seconds: until the deadline; None without one.
        """
        prompts = self._lay_out(request, budget)
        preferred = next(prompts)
        choice = self._slots.choose(request.session, chain([preferred], prompts))
        # With a single slot a smaller context would evict the full one, which then was never completed.
        may_shrink = budget > MIN_CONTEXT_TOKENS and self._slots.limit > 1
        if may_shrink and not self._fits(choice, PATIENCE_SECONDS if seconds is None else seconds):
            smaller = self._smaller_context(request, budget, PATIENCE_SECONDS if seconds is None else seconds)
            if seconds is not None or smaller.cached >= MIN_BEGUN_TOKENS:
                choice = smaller
        return Plan(choice, preferred)

    def _smaller_context(self, request: CompletionRequest, budget: int, seconds: float) -> Choice:
        """The largest of the smaller contexts that fits the time, or else the smallest."""
        size = 1 << (budget - 1).bit_length() - 1  # the largest power of two below
        while True:
            choice = self._slots.choose(request.session, self._lay_out(request, size))
            if size // 2 < MIN_CONTEXT_TOKENS or self._fits(choice, seconds):
                return choice
            size //= 2

    def _fits(self, choice: Choice, seconds: float) -> bool:
        share = seconds / (self._slots.busy + 1)  # concurrent completions take turns
        line = FIRST_LINE_TOKENS * self._latencies.forward_seconds(1, len(choice.prompt.tokens))
        prompt = self._latencies.prefill_seconds(choice.uncached, choice.cached, CHUNK_SECONDS)
        return prompt <= share - min(line, share / 2)
