"""The KV cache of one sequence for the native decoder; it grows and shrinks by blocks."""

from __future__ import annotations

import ctypes

from model_runtime.api import OutOfMemory
from model_runtime.decoding import CachedSequence
from model_runtime.native.blocks import Block, BlockPool
from model_runtime.native.library import BLOCK_TOKENS


class NativeCache(CachedSequence):
    """The keys and values of one sequence, and the tokens that they were computed from.

    Args:
        pool: where its blocks come from, and return to when the sequence becomes shorter or is dropped.
        capacity: the most tokens.
    """

    def __init__(self, pool: BlockPool, capacity: int) -> None:
        super().__init__(capacity)
        self._pool = pool
        self._blocks: list[Block] = []
        self._addresses = (ctypes.c_void_p * -(-capacity // BLOCK_TOKENS))()

    def __del__(self) -> None:
        self._shrink(0)

    @property
    def block_count(self) -> int:
        """The number of blocks that it has."""
        return len(self._blocks)

    def blocks_for(self, length: int) -> ctypes.Array[ctypes.c_void_p]:
        """The addresses of its blocks, of which there are enough for `length` tokens.

        Raises:
            OutOfMemory: the pool's budget is used up; the cache has the blocks that it had.
        """
        assert length <= self.capacity, f"{length} tokens do not fit into {self.capacity}"
        had = len(self._blocks)
        try:
            while len(self._blocks) * BLOCK_TOKENS < length:
                block = self._pool.take()
                self._addresses[len(self._blocks)] = block.ctypes.data
                self._blocks.append(block)
        except OutOfMemory:
            self._shrink(had * BLOCK_TOKENS)
            raise
        return self._addresses

    def rewind(self, length: int) -> None:
        """See `CachedSequence`."""
        super().rewind(length)
        self._shrink(length)

    def copy_from(self, other: CachedSequence, length: int) -> None:
        """See `CachedSequence`.

        Raises:
            OutOfMemory: the pool's budget is used up.
        """
        assert isinstance(other, NativeCache), "a cache of the same decoder"
        assert length <= min(self.capacity, other.length), f"cannot copy {length} tokens"
        self.rewind(0)
        self.blocks_for(length)
        for target, source in zip(self._blocks, other._blocks, strict=False):
            target[:] = source
        self.extend(other.tokens[:length])

    def _shrink(self, length: int) -> None:
        while self._blocks and (len(self._blocks) - 1) * BLOCK_TOKENS >= length:
            self._pool.give_back(self._blocks.pop())
