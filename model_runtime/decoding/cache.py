"""The static key/value cache: allocated once, written at a position, shortened by moving a number.

`rewind` is the one primitive behind prefix reuse, rejected drafts and cancellation. What lies beyond
`length` is stale and never read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model_runtime.decoding.config import DecoderConfig


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
        shape = (config.kv_heads, self.capacity, config.head_dim)
        devices = devices or [torch.device("cpu")] * config.layers
        self._keys = [torch.zeros(shape, dtype=dtype, device=device) for device in devices]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for device in devices]
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        """How many tokens are computed."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens that are computed, in order."""
        return tuple(self._tokens)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put one layer's new keys and values behind the old ones; returns all of them, as views.

        The sequence grows only by `extend`, after the last layer: a step that fails, or that nobody
        waits for, leaves no trace.

        Args:
            layer: which layer wrote them.
            keys: (kv_heads, new, head_dim)
            values: (kv_heads, new, head_dim)

        Returns:
            Keys and values, each (kv_heads, length + new, head_dim).
        """
        start, end = self.length, self.length + keys.shape[1]
        assert end <= self.capacity, f"{end} tokens do not fit into {self.capacity}"
        self._keys[layer][:, start:end] = keys
        self._values[layer][:, start:end] = values
        return self._keys[layer][:, :end], self._values[layer][:, :end]

    def extend(self, tokens: Sequence[int]) -> None:
        """Count `tokens` as computed: every layer has written them."""
        self._tokens.extend(tokens)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        assert 0 <= length <= self.length, f"cannot rewind {self.length} tokens to {length}"
        del self._tokens[length:]

    def common_prefix(self, tokens: Sequence[int]) -> int:
        """How many of `tokens`, from the first on, are the ones computed here."""
        for index, (mine, theirs) in enumerate(zip(self._tokens, tokens, strict=False)):
            if mine != theirs:
                return index
        return min(len(self._tokens), len(tokens))

    def reuse(self, tokens: Sequence[int]) -> int:
        """Rewind to what `tokens` has in common with this sequence; returns how many tokens that is.

        At least the last of `tokens` is left to compute: its logits are not kept.
        """
        self.rewind(min(self.common_prefix(tokens), len(tokens) - 1))
        return self.length
