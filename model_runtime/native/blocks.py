"""Memory for a native decoder's KV caches: blocks of 64 tokens in fp16, in one budget for all sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_runtime.api import OutOfMemory
from model_runtime.native.library import BLOCK_TOKENS
from model_runtime.native.matrices import aligned

Block = NDArray[np.uint16]


class BlockPool:
    """Blocks are allocated as they are needed, up to the budget, and used again once they are given back.

    Args:
        block_bytes: of a block, which has the keys and values of all layers.
        budget: the most bytes of all blocks; there is room for one block at least.
    """

    def __init__(self, block_bytes: int, budget: int) -> None:
        self.block_bytes = block_bytes
        self.limit = 0
        """The most blocks."""
        self.set_budget(budget)
        self.used = 0
        """Blocks that belong to a sequence."""
        self._free: list[Block] = []

    def set_budget(self, budget: int) -> None:
        """Change the budget, in bytes; what is in use is not taken away."""
        self.limit = max(1, budget // self.block_bytes)

    @property
    def tokens(self) -> int:
        """The most tokens that all sequences together can have."""
        return self.limit * BLOCK_TOKENS

    def bytes_for(self, tokens: int) -> int:
        """The bytes of the blocks for one sequence of so many tokens."""
        return -(-tokens // BLOCK_TOKENS) * self.block_bytes

    def take(self) -> Block:
        """A block with arbitrary content.

        Raises:
            OutOfMemory: the budget is used up.
        """
        if self.used >= self.limit:
            raise OutOfMemory(
                f"the KV cache's {self.limit * self.block_bytes >> 20} MB are in use: raise `memoryMb`"
            )
        block = self._free.pop() if self._free else aligned(self.block_bytes // 2, np.uint16)
        self.used += 1
        return block

    def give_back(self, block: Block) -> None:
        """Let another sequence have a block."""
        self.used -= 1
        self._free.append(block)
