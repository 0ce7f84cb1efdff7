"""Which prompt a request gets: the layout, and how much context, by what is computed already and by the time.

engine ▶ **planning** ▶ {prompt, slots, hardware}. Without a deadline a request gets all the context that
there is room for. With one it gets as much as there is time for beside a first line, in steps, so that a
smaller context, too, is anchored where the next key finds it again. The whole is then computed when nobody
waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from model_runtime.api import CompletionRequest
from model_runtime.engine.slots import Choice, Slots
from model_runtime.hardware import LatencyModel
from model_runtime.prompting import Prompt

LEAST_TOKENS = 128
"""The smallest context that is worth a completion."""

FIRST_LINE = 16
"""Tokens: what is kept free for them of the time that is left, but at most half of that."""

PIECE_SECONDS = 0.03
"""What a piece of a prompt takes: a closed stream frees the model so soon, with some air up to 50 ms."""

LayOut = Callable[[CompletionRequest, int], Iterator[Prompt]]
"""A request in at most so many tokens: every layout that the model was knows, first the one to type in."""


@dataclass(frozen=True)
class Plan:
    """What is computed for a request; `ahead` is the whole prompt, which later ones will likely share."""

    choice: Choice
    ahead: Prompt


class Planner:
    """Plans requests.

    Args:
        lay_out: gives the candidates.
        slots: what is computed already.
        latencies: how long the rest takes.
    """

    def __init__(self, lay_out: LayOut, slots: Slots, latencies: LatencyModel) -> None:
        self._lay_out = lay_out
        self._slots = slots
        self._latencies = latencies

    def plan(self, request: CompletionRequest, budget: int, seconds: float | None) -> Plan:
        """What to compute for a request: at most `budget` tokens, and in so many `seconds` if not None."""
        prompts = self._lay_out(request, budget)
        preferred = next(prompts)
        whole = self._slots.best(request.session, chain([preferred], prompts))
        choice = whole
        # In a single slot a smaller context would take the place of the whole one, which never came to be.
        smaller = budget > LEAST_TOKENS and self._slots.limit > 1
        if smaller and seconds is not None and not self._fits(whole, seconds):
            choice = self._smaller(request, budget, seconds)
        return Plan(choice, preferred)

    def _smaller(self, request: CompletionRequest, budget: int, seconds: float) -> Choice:
        """The largest of the smaller contexts that fits the time, or the smallest, which is there soonest."""
        size = 1 << (budget - 1).bit_length() - 1  # the largest power of two below
        while True:
            choice = self._slots.best(request.session, self._lay_out(request, size))
            if size // 2 < LEAST_TOKENS or self._fits(choice, seconds):
                return choice
            size //= 2

    def _fits(self, choice: Choice, seconds: float) -> bool:
        share = seconds / (self._slots.busy + 1)  # those who are at work take turns
        line = FIRST_LINE * self._latencies.forward_seconds(1, len(choice.prompt.tokens))
        prompt = self._latencies.prefill_seconds(choice.left, choice.shared, PIECE_SECONDS)
        return prompt <= share - min(line, share / 2)
