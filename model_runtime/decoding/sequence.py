"""The tokens of one KV cache, whatever memory its keys and values are in.

`rewind` serves prefix reuse, rejected drafts and cancellation alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

COMPARED_TOKENS = 128
"""Tokens compared at once in `common_prefix`."""


class CachedSequence(ABC):
    """The tokens whose keys and values are cached; `capacity` is the most of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        """The number of computed tokens."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The computed tokens, in order."""
        return tuple(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """Count `tokens` as computed, once every layer has written them."""
        self._tokens.extend(tokens)

    def rewind(self, length: int) -> None:
        """Drop all but the first `length` tokens."""
        assert 0 <= length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        del self._tokens[length:]

    @abstractmethod
    def copy_from(self, other: CachedSequence, length: int) -> None:
        """Become a copy of the first `length` tokens of another cache of the same decoder."""

    def common_prefix(self, tokens: Sequence[int]) -> int:
        """The number of leading tokens that `tokens` shares with this sequence."""
        cached, wanted = self._tokens, tokens if isinstance(tokens, list) else list(tokens)
        end = min(len(cached), len(wanted))
        same = 0
        # In blocks, compared in C: at every key, thousands of tokens for each slot and each layout.
        while same < end and cached[same : same + COMPARED_TOKENS] == wanted[same : same + COMPARED_TOKENS]:
            same += COMPARED_TOKENS
        while same < end and cached[same] == wanted[same]:
            same += 1
        return min(same, end)

    def reuse(self, tokens: Sequence[int]) -> int:
        """Rewind to the prefix shared with `tokens` and return its length.

        At least the last of `tokens` is left to compute, since its logits are not kept.
        """
        self.rewind(min(self.common_prefix(tokens), len(tokens) - 1))
        return self.length
