"""KV cache slots: caches that outlive a request, and the choice of the one that the next request starts from.

Each session has a slot where there is room, or several where there is plenty, so that it finds its cache
again when the cursor jumps back. A session may copy what another one has computed. Slots in use are never
evicted; of the others, the least recently used one goes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from model_runtime.api import Busy, OutOfMemory
from model_runtime.decoding import CachedSequence, DecoderConfig
from model_runtime.hardware import memory_errors, release_memory
from model_runtime.native import BlockPool
from model_runtime.prompting import Prompt

NEGLIGIBLE_TOKENS = 16
"""To save this many tokens or fewer, neither the layout is changed nor a cache copied."""

GPU_MEMORY_SHARE, MEMORY_SHARE = 0.5, 0.25
"""Share of the free memory, once the model is loaded, that caches may take: on a GPU, and on a device whose
memory is that of the whole machine."""

MIN_CAPACITY = 1024
"""Tokens; a cache gets this size even where it exceeds its share of memory."""


@dataclass(eq=False)
class Slot:
    """A cache and the session that used it last; `last_used` counts the uses of all slots."""

    cache: CachedSequence
    session: str = ""
    last_used: int = 0
    busy: bool = False


@dataclass(frozen=True)
class Choice:
    """A prompt, and the slot that has most of it: the first `cached` tokens."""

    prompt: Prompt
    source: Slot | None = None
    cached: int = 0

    @property
    def uncached(self) -> int:
        """The number of tokens still to compute."""
        return len(self.prompt.tokens) - self.cached


class Slots:
    """All slots; each is made when it is first needed.

    Args:
        new_cache: makes a cache, or raises an error of `memory_errors`.
        limit: the most slots.
        first: a cache that exists already.
        growing: whether caches take memory as they grow, so that an empty one takes none.
    """

    def __init__(
        self,
        new_cache: Callable[[], CachedSequence],
        limit: int,
        first: CachedSequence | None = None,
        *,
        growing: bool = False,
    ) -> None:
        self.limit, self._growing = limit, growing
        self._new_cache = new_cache
        self._slots = [] if first is None else [Slot(first)]
        self._uses = 0

    @property
    def busy(self) -> int:
        """The number of slots in use."""
        return sum(slot.busy for slot in self._slots)

    def choose(self, session: str, prompts: Iterable[Prompt]) -> Choice:
        """The prompt with the fewest uncached tokens; an earlier one where the difference is negligible.

        Further prompts are made only where they could save more than that.
        """
        choices = (self._best_source(session, prompt) for prompt in prompts)
        best = next(choices)
        while best.uncached > NEGLIGIBLE_TOKENS + 1 and (choice := next(choices, None)):
            if choice.uncached + NEGLIGIBLE_TOKENS < best.uncached:
                best = choice
        return best

    @contextmanager
    def acquire(self, session: str, choice: Choice) -> Iterator[Slot]:
        """A slot for the session, whose cache holds exactly the cached tokens of the chosen prompt.

        Raises:
            Busy: all slots are in use.
        """
        slot = self._slot_for(session, choice)
        self._uses += 1
        slot.session, slot.last_used, slot.busy = session, self._uses, True
        try:
            yield slot
        finally:
            slot.busy = False

    def evict_idle(self, spared: Slot | None = None) -> bool:
        """Free the memory of the slot that was used least recently; False if all are in use or empty.

        Where a slot takes its memory at once, one fewer is allowed from now on.
        """
        idle = [slot for slot in self._slots if not slot.busy and slot.cache.length and slot is not spared]
        if not idle:
            return False
        self._slots.remove(min(idle, key=lambda slot: slot.last_used))
        if not self._growing:
            self.limit = max(1, len(self._slots))
        del idle
        release_memory()
        return True

    def _best_source(self, session: str, prompt: Prompt) -> Choice:
        """The slot that has most of a prompt, except its last token, whose logits are not kept."""
        choice = Choice(prompt)
        last = len(prompt.tokens) - 1
        for slot in sorted(self._slots, key=lambda slot: (slot.session != session, -slot.last_used)):
            cached = min(slot.cache.common_prefix(prompt.tokens), last)
            if cached > choice.cached + (0 if slot.session == session else NEGLIGIBLE_TOKENS):
                choice = Choice(prompt, slot, cached)
        return choice

    def _slot_for(self, session: str, choice: Choice) -> Slot:
        source, cached = choice.source, choice.cached
        if source and not source.busy and source.session == session and 2 * cached >= source.cache.length:
            source.cache.rewind(cached)
            return source
        slot = self._new_or_evicted(source)
        if slot is source:
            slot.cache.rewind(cached)
        else:
            slot.cache.rewind(0)
            if source:
                self._copy(slot, source, cached)
        return slot

    def _copy(self, slot: Slot, source: Slot, length: int) -> None:
        """Copy from the source's cache, for which others are evicted if there is no room."""
        slot.busy = True  # so that it is not evicted itself
        try:
            while not _try_copy(slot.cache, source.cache, length):
                if not self.evict_idle(spared=source):
                    slot.cache.copy_from(source.cache, length)
        finally:
            slot.busy = False

    def _new_or_evicted(self, source: Slot | None) -> Slot:
        """A slot to fill: a new one where the limit allows, or else the one that is least likely needed."""
        if len(self._slots) < self.limit and (slot := self._new_slot()):
            return slot
        per_session = Counter(slot.session for slot in self._slots)
        idle = [slot for slot in self._slots if not slot.busy]
        if not idle:
            raise Busy(f"the model works at {len(self._slots)} completions already: wait for one to end")
        # The source goes last. Before it, sessions with several slots lose one before any loses its only one.
        return min(idle, key=lambda slot: (slot is source, per_session[slot.session] == 1, slot.last_used))

    def _new_slot(self) -> Slot | None:
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


def _try_copy(cache: CachedSequence, source: CachedSequence, length: int) -> bool:
    """Copy, or return False for lack of memory."""
    try:
        cache.copy_from(source, length)
    except OutOfMemory:
        return False
    return True


def layer_token_bytes(config: DecoderConfig, number_bytes: int) -> int:
    """The bytes of a token's keys and values in one layer."""
    return 2 * config.kv_heads * config.head_dim * number_bytes


def capacity_and_count(
    devices: Sequence[str],
    config: DecoderConfig,
    number_bytes: int,
    free: Callable[[str], int],
    *,
    max_tokens: int,
    max_slots: int,
) -> tuple[int, int]:
    """The capacity of a slot in tokens, and the number of slots that fit the memory.

    Args:
        devices: the device of each layer.
        config: the decoder's configuration.
        number_bytes: of each number in keys and values.
        free: the free memory of a device, in bytes.
        max_tokens: the largest capacity.
        max_slots: the largest number of slots.
    """
    token_bytes = layer_token_bytes(config, number_bytes)
    room = min(
        int(free(device) * (GPU_MEMORY_SHARE if device.startswith("cuda") else MEMORY_SHARE))
        // (layers * token_bytes)
        for device, layers in Counter(devices).items()
    )
    capacity = min(config.context_length, max_tokens, max(room, MIN_CAPACITY))
    return capacity, max(1, min(max_slots, room // capacity))


def pooled_capacity(
    pool: BlockPool, config: DecoderConfig, max_tokens: int, max_slots: int
) -> tuple[int, int]:
    """The same for caches that share a pool, which grows if it has no room for the smallest one."""
    pool.set_budget(
        max(pool.limit * pool.block_bytes, pool.bytes_for(min(MIN_CAPACITY, config.context_length)))
    )
    capacity = min(config.context_length, max_tokens, pool.tokens)
    return capacity, max(1, min(max_slots, pool.tokens // capacity))
