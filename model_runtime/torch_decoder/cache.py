"""The static KV cache of one sequence: allocated once, written at a position, shortened by moving a number.

What lies beyond `length` is stale and never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from model_runtime.decoding import CachedSequence, DecoderConfig


class LayerView(NamedTuple):
    """One layer's part of a cache in a step of `new` tokens; the dimension of 1 is for attention's heads."""

    new: Tensor  # (2, kv_heads, 1, new, head_dim): where the new keys and values are written
    keys: Tensor  # (kv_heads, 1, length + new, head_dim)
    values: Tensor  # as `keys`


class Cache(CachedSequence):
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
        super().__init__(capacity or config.context_length)
        assert self.capacity <= config.context_length, "no position is known beyond the context length"
        devices = devices or [torch.device("cpu")] * config.layers
        shape = (2, config.kv_heads, 1, self.capacity, config.head_dim)
        # One tensor for neighbouring layers on a device: all of their views take only a few calls.
        self._storage = [
            torch.zeros((len(list(layers)), *shape), dtype=dtype, device=device)
            for device, layers in groupby(devices)
        ]

    def layer_views(self, new: int) -> list[LayerView]:
        """Each layer's views for a step of `new` tokens, and of all tokens after it.

        The sequence grows only by `extend`, after the last layer, so that a step that fails leaves no trace.
        """
        start, end = self.length, self.length + new
        assert end <= self.capacity, f"{end} tokens do not fit into {self.capacity}"
        targets = (target for stored in self._storage for target in stored[..., start:end, :].unbind())
        visible = (each for stored in self._storage for each in stored[..., :end, :].flatten(0, 1).unbind())
        return list(map(LayerView, targets, visible, visible))  # which alternates keys and values

    def layers(self) -> list[Tensor]:
        """Each layer's keys, then values, whole: (2 · kv_heads, capacity, head_dim).

        For steps that find their positions in a tensor; they must mask what lies beyond `length`.
        """
        return [layer.flatten(0, 2) for stored in self._storage for layer in stored.unbind()]

    def copy_from(self, other: CachedSequence, length: int) -> None:
        """See `CachedSequence`."""
        assert isinstance(other, Cache), "a cache of the same decoder"
        assert length <= min(self.capacity, other.length), f"cannot copy {length} tokens"
        for target, source in zip(self._storage, other._storage, strict=True):
            target[..., :length, :] = source[..., :length, :]
        self._tokens = list(other.tokens[:length])
