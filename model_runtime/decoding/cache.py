"""The static KV cache of one sequence: allocated once, written at a position, shortened by moving a number.

`rewind` serves prefix reuse, rejected drafts and cancellation alike. What lies beyond `length` is stale and
never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from model_runtime.decoding.config import DecoderConfig

COMPARED_TOKENS = 128
"""Tokens compared at once in `common_prefix`."""

ALIGNMENT = 64
"""Memory is allocated for a multiple of so many tokens, over which sums have no odd end."""


class LayerView(NamedTuple):
    """One layer's part of a cache in a step of `new` tokens; the dimension of 1 is for attention's heads."""

    new: Tensor  # (2, kv_heads, 1, new, head_dim): where the new keys and values are written
    keys: Tensor  # (kv_heads, 1, length + new or as many as were asked for, head_dim)
    values: Tensor  # as `keys`


class Cache:
    """The keys and values of one sequence, and the tokens that they were computed from.

    Args:
        config: of the decoder.
        capacity: the most tokens; the context length by default.
        dtype: of keys and values; the weights' own.
        devices: of each layer's weights, where its keys and values are too; the CPU by default.
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
        # One tensor for neighbouring layers on a device: all of their views take only a few calls.
        self._storage = [
            torch.zeros((len(list(layers)), *shape), dtype=dtype, device=device)
            for device, layers in groupby(devices)
        ]
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        """The number of computed tokens."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The computed tokens, in order."""
        return tuple(self._tokens)

    def layer_views(self, new: int, keys: int | None = None) -> list[LayerView]:
        """Each layer's views for a step of `new` tokens, and of all tokens after it or the first `keys`.

        The sequence grows only by `extend`, after the last layer, so that a step that fails leaves no trace.
        """
        start, end = self.length, self.length + new
        assert end <= self.capacity, f"{end} tokens do not fit into {self.capacity}"
        targets = (target for stored in self._storage for target in stored[..., start:end, :].unbind())
        visible = (
            each for stored in self._storage for each in stored[..., : keys or end, :].flatten(0, 1).unbind()
        )
        return list(map(LayerView, targets, visible, visible))  # which alternates keys and values

    def layers(self) -> list[Tensor]:
        """Each layer's keys, then values, whole: (2 · kv_heads, at least capacity, head_dim).

        For steps that find their positions in a tensor; they must mask what lies beyond `length`.
        """
        return [layer.flatten(0, 2) for stored in self._storage for layer in stored.unbind()]

    def extend(self, tokens: Sequence[int]) -> None:
        """Count `tokens` as computed, once every layer has written them."""
        self._tokens.extend(tokens)

    def rewind(self, length: int) -> None:
        """Drop all but the first `length` tokens."""
        assert 0 <= length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        del self._tokens[length:]

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

    def copy_from(self, other: Cache, length: int) -> None:
        """Become a copy of the first `length` tokens of another cache of the same decoder."""
        assert length <= min(self.capacity, other.length), f"cannot copy {length} tokens"
        for target, source in zip(self._storage, other._storage, strict=True):
            target[..., :length, :] = source[..., :length, :]
        self._tokens = other._tokens[:length]

    def reuse(self, tokens: Sequence[int]) -> int:
        """Rewind to the prefix shared with `tokens` and return its length.

        At least the last of `tokens` is left to compute, since its logits are not kept.
        """
        self.rewind(min(self.common_prefix(tokens), len(tokens) - 1))
        return self.length


def aligned(tokens: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-tokens // ALIGNMENT) * ALIGNMENT
