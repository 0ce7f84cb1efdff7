"""The caches that outlive a request, and which of them the next one begins from.

engine ▶ **slots** ▶ decoding.Cache. One slot for each session where there is room, more where there is
plenty: a session then also finds what it left when the cursor jumps back. What one session has computed
another may copy, but it takes no slot that is in use, and takes one away only as the least recently used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from model_runtime.api import Busy, OutOfMemory
from model_runtime.decoding import Cache, DecoderConfig
from model_runtime.hardware import memory_errors, release_memory
from model_runtime.prompting import Prompt

HARDLY = 16
"""So many tokens more cost hardly more: for them neither is the layout changed nor a cache copied."""

GPU_SHARE, SHARE = 0.5, 0.25
"""Of the memory that is free once the model is loaded, what caches may take on a GPU, and where all else
that runs on the machine has its memory too."""

LEAST_CAPACITY = 1024
"""Tokens; a cache is made so large even where that is more than its share."""


@dataclass(eq=False)
class Slot:
    """A cache, and whose tokens it holds."""

    cache: Cache
    session: str = ""
    used: int = 0
    busy: bool = False


@dataclass(frozen=True)
class Choice:
    """A prompt, and the slot that has most of it: the first `shared` tokens."""

    prompt: Prompt
    source: Slot | None = None
    shared: int = 0

    @property
    def left(self) -> int:
        """How many tokens there are to compute."""
        return len(self.prompt.tokens) - self.shared


class Slots:
    """All slots, each made when it is first needed.

    Args:
        new_cache: makes a cache, if there is memory for it.
        limit: how many slots there may be.
        first: a cache that is there already.
    """

    def __init__(self, new_cache: Callable[[], Cache], limit: int, first: Cache | None = None) -> None:
        self.limit = limit
        self._new_cache = new_cache
        self._slots = [] if first is None else [Slot(first)]
        self._uses = 0

    @property
    def busy(self) -> int:
        """How many slots are in use."""
        return sum(slot.busy for slot in self._slots)

    def best(self, session: str, prompts: Iterable[Prompt]) -> Choice:
        """The prompt that leaves the fewest tokens to compute; an earlier one where it hardly matters.

        Further ones are not asked for where they cannot leave far fewer.
        """
        choices = (self._nearest(session, prompt) for prompt in prompts)
        best = next(choices)
        while best.left > HARDLY + 1 and (choice := next(choices, None)):
            if choice.left + HARDLY < best.left:
                best = choice
        return best

    @contextmanager
    def taken(self, session: str, choice: Choice) -> Iterator[Slot]:
        """A slot of the session that holds what is shared of the prompt, and nothing else.

        Raises:
            Busy: all slots are in use.
        """
        slot = self._target(session, choice)
        self._uses += 1
        slot.session, slot.used, slot.busy = session, self._uses, True
        try:
            yield slot
        finally:
            slot.busy = False

    def drop_idle(self) -> None:
        """Free the memory of all slots that are not in use, and have one fewer from now on."""
        self.limit = max(1, min(self.limit, len(self._slots)) - 1)
        self._slots = [slot for slot in self._slots if slot.busy]
        release_memory()

    def _nearest(self, session: str, prompt: Prompt) -> Choice:
        """The slot that has most of a prompt, but its last token, whose logits are not kept."""
        choice = Choice(prompt)
        last = len(prompt.tokens) - 1
        for slot in sorted(self._slots, key=lambda slot: (slot.session != session, -slot.used)):
            shared = min(slot.cache.common_prefix(prompt.tokens), last)
            if shared > choice.shared + (0 if slot.session == session else HARDLY):
                choice = Choice(prompt, slot, shared)
        return choice

    def _target(self, session: str, choice: Choice) -> Slot:
        source, shared = choice.source, choice.shared
        if source and not source.busy and source.session == session and 2 * shared >= source.cache.length:
            source.cache.rewind(shared)
            return source
        slot = self._spare(source)
        if slot is source:
            slot.cache.rewind(shared)
        else:
            slot.cache.rewind(0)
            if source:
                slot.cache.copy_from(source.cache, shared)
        return slot

    def _spare(self, source: Slot | None) -> Slot:
        """A slot to be filled anew: one more if there may be, or else the one that is missed least."""
        if len(self._slots) < self.limit and (slot := self._another()):
            return slot
        held = Counter(slot.session for slot in self._slots)
        free = [slot for slot in self._slots if not slot.busy]
        if not free:
            raise Busy(f"the model works at {len(self._slots)} completions already: wait for one to end")
        # The source goes last, then whatever a session has beside another slot goes first.
        return min(free, key=lambda slot: (slot is source, held[slot.session] == 1, slot.used))

    def _another(self) -> Slot | None:
        try:
            with memory_errors():
                slot = Slot(self._new_cache())
        except OutOfMemory:
            if not self._slots:
                raise
            self.limit = len(self._slots)
            return None
        self._slots.append(slot)
        return slot


def capacity_and_number(
    devices: Sequence[torch.device],
    config: DecoderConfig,
    dtype: torch.dtype,
    free: Callable[[torch.device], int],
    *,
    most_tokens: int,
    most_slots: int,
) -> tuple[int, int]:
    """How many tokens a slot holds, and how many slots there may be.

    Args:
        devices: of each layer.
        config: the decoder's facts.
        dtype: of keys and values.
        free: the bytes of a device that can still be had.
        most_tokens: what a slot need not exceed.
        most_slots: what is enough.
    """
    layer = 2 * config.kv_heads * config.head_dim * dtype.itemsize  # bytes for each token
    room = min(
        int(free(device) * (GPU_SHARE if device.type == "cuda" else SHARE)) // (layers * layer)
        for device, layers in Counter(devices).items()
    )
    capacity = min(config.context_length, most_tokens, max(room, LEAST_CAPACITY))
    return capacity, max(1, min(most_slots, room // capacity))
