"""The static key/value cache: allocated once, written at a position, shortened by moving a number.

`rewind` is the one primitive behind prefix reuse, rejected drafts and cancellation. What lies beyond
`length` is stale and never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from model_runtime.decoding.config import DecoderConfig

BLOCK = 128
"""Tokens that are compared at once."""


ALIGNED = 64
"""Memory is for a multiple of so many tokens: sums over that many have no odd end."""


class Window(NamedTuple):
    """One layer's part of a cache in a step of `new` tokens, as views; the 1 is for attention's heads."""

    slot: Tensor  # (2, kv_heads, 1, new, head_dim): where the new keys, and the new values, are to be put
    keys: Tensor  # (kv_heads, 1, length + new or as many as were asked for, head_dim)
    values: Tensor  # as `keys`


class Cache:
    """The keys and values of one sequence, and the tokens that they were computed from.

    Args:
        config: the decoder's facts.
        capacity: how many tokens fit; the context length unless told otherwise.
        dtype: of keys and values; the weights' own.
        devices: where each layer's weights are, and its keys and values with them; the CPU by default.
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        capacity: int | None = None,
        dtype: torch.dtype = torch.float32,
        devices: Sequence[torch.device] | None = None,
    ) -> None:
        self.capacity = capacity or config.context_length
        assert self.capacity <= config.context_length, "no position is known beyond the context length"
        devices = devices or [torch.device("cpu")] * config.layers
        shape = (2, config.kv_heads, 1, aligned(self.capacity), config.head_dim)
        # One tensor for all neighbouring layers on a device: a step takes all of its views in a few calls.
        self._held = [
            torch.zeros((len(list(layers)), *shape), dtype=dtype, device=device)
            for device, layers in groupby(devices)
        ]
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        """How many tokens are computed."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens that are computed, in order."""
        return tuple(self._tokens)

    def windows(self, new: int, keys: int | None = None) -> list[Window]:
        """For each layer, where it puts the keys and values of `new` tokens, and all that are then there.

        The sequence grows only by `extend`, after the last layer: a step that fails, or that nobody
        waits for, leaves no trace. `keys` is how many are to be seen where some are masked.
        """
        start, end = self.length, self.check_room(new)
        slots = (slot for held in self._held for slot in held[..., start:end, :].unbind())
        seen = (each for held in self._held for each in held[..., : keys or end, :].flatten(0, 1).unbind())
        return list(map(Window, slots, seen, seen))  # each takes two in a row of the last: keys, then values

    def check_room(self, new: int) -> int:
        """The length with `new` tokens, for which there must be room."""
        end = self.length + new
        assert end <= self.capacity, f"{end} tokens do not fit into {self.capacity}"
        return end

    def layers(self) -> list[Tensor]:
        """Each layer's keys and values whole, (2 · kv_heads, at least capacity, head_dim): keys, then values.

        For steps that find their positions in a tensor; what lies beyond `length` is theirs to leave out.
        """
        return [layer.flatten(0, 2) for held in self._held for layer in held.unbind()]

    def extend(self, tokens: Sequence[int]) -> None:
        """Count `tokens` as computed: every layer has written them."""
        self._tokens.extend(tokens)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        assert 0 <= length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        del self._tokens[length:]

    def common_prefix(self, tokens: Sequence[int]) -> int:
        """How many of `tokens`, from the first on, are the ones computed here."""
        mine, theirs = self._tokens, tokens if isinstance(tokens, list) else list(tokens)
        end = min(len(mine), len(theirs))
        same = 0
        # By blocks, in C: thousands of tokens are compared, for each slot and each layout, at every key.
        while same < end and mine[same : same + BLOCK] == theirs[same : same + BLOCK]:
            same += BLOCK
        while same < end and mine[same] == theirs[same]:
            same += 1
        return min(same, end)

    def copy_from(self, other: Cache, length: int) -> None:
        """Become a copy of the first `length` tokens of another cache of the same decoder."""
        assert length <= min(self.capacity, other.length), f"there is no room for, or are no, {length} tokens"
        for mine, theirs in zip(self._held, other._held, strict=True):
            mine[..., :length, :] = theirs[..., :length, :]
        self._tokens = other._tokens[:length]

    def reuse(self, tokens: Sequence[int]) -> int:
        """Rewind to what `tokens` has in common with this sequence; returns how many tokens that is.

        At least the last of `tokens` is left to compute: its logits are not kept.
        """
        self.rewind(min(self.common_prefix(tokens), len(tokens) - 1))
        return self.length


def aligned(tokens: int) -> int:
    """The next multiple of `ALIGNED`."""
    return -(-tokens // ALIGNED) * ALIGNED
