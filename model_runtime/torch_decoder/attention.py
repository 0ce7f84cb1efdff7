"""Attention over the KV cache: new tokens attend to all earlier ones and leave their keys and values there.

What is the same for all layers of a forward pass (masks, rotations, where to write) is set up once, in a
step. `EagerStep` takes positions from Python, `StaticStep` from a tensor, so that a CUDA graph of it serves
every position; `triton_attention` replaces the latter by kernels. In the shapes below `length` is the number
of new tokens and `keys` the number of tokens attended to. Heads that share keys and values are multi-query
(Shazeer, arXiv:1911.02150) and grouped-query attention (arXiv:2305.13245).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder.cache import LayerView
from model_runtime.torch_decoder.layers import Projection, ResidualProjection
from model_runtime.torch_decoder.positions import Rotate

MAX_FOLDED_TOKENS = 16
"""With up to so many tokens the query heads of a key head become rows of one product, so that each key is
read once; its price is a mask with a row for each of them. On a CPU up to 3.5 times as fast at 2 rows."""

Step = Callable[[int, Tensor], Tensor]
"""A layer's number and the output of its `qkv`, (length, heads + 2 · kv_heads, head_dim), which may be
overwritten, to the attention's output, (length, heads · head_dim). One for all blocks on a device."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, (length, heads, head_dim), keys and values, (kv_heads, 1, keys, head_dim), to the output, (length,
heads · head_dim)."""


@dataclass(frozen=True)
class Attention:
    """One layer's attention; keys are cached after their rotation."""

    config: DecoderConfig
    layer: int
    qkv: Projection
    out: ResidualProjection

    def __call__(self, x: Tensor, step: Step, residual: Tensor) -> Tensor:
        """(length, width), added to `residual`, (length, width)"""
        c = self.config
        rows = self.qkv(x).view(x.shape[0], c.heads + 2 * c.kv_heads, c.head_dim)
        return self.out(step(self.layer, rows), residual)


class EagerStep:
    """A step at positions that Python knows, over exactly the tokens that are in the cache.

    Args:
        config: of the decoder.
        views: the cache's, for each layer.
        rotate: rotates queries and keys, if positions are rotations.
        attend: how queries attend.
    """

    def __init__(
        self, config: DecoderConfig, views: Sequence[LayerView], rotate: Rotate | None, attend: Attend
    ) -> None:
        self._config, self._views, self._rotate, self._attend = config, views, rotate, attend

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        c, length = self._config, rows.shape[0]
        if self._rotate is not None:
            self._rotate(rows[:, : c.heads + c.kv_heads])
        new, keys, values = self._views[layer]
        new.copy_(rows[:, c.heads :].transpose(0, 1).view(2, c.kv_heads, 1, length, c.head_dim))
        return self._attend(rows[:, : c.heads], keys, values)


class StaticStep:
    """A step at positions that are in a tensor, over a fixed number of the cache's tokens.

    It depends on no number that changes from step to step, so that it can be captured once and replayed.

    Args:
        config: of the decoder.
        layers: the cache's keys and values, for each layer.
        rotate: as for `EagerStep`.
        positions: (length,), each below `keys`.
        keys: how many of the cache's tokens are attended to; those after a token's own position are masked.
            They must be finite, as everything is that was ever computed.
        dtype: of the activations.
    """

    def __init__(
        self,
        config: DecoderConfig,
        layers: Sequence[Tensor],
        rotate: Rotate | None,
        positions: Tensor,
        keys: int,
        dtype: torch.dtype,
    ) -> None:
        self._config, self._layers, self._rotate, self._positions = config, layers, rotate, positions
        hidden = torch.arange(keys, device=positions.device) > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device)
        self._keys = keys
        self._attend = GroupedAttention(config, mask.masked_fill_(hidden, float("-inf")))

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        c, cached = self._config, self._layers[layer]
        if self._rotate is not None:
            self._rotate(rows[:, : c.heads + c.kv_heads])
        cached.index_copy_(1, self._positions, rows[:, c.heads :].transpose(0, 1))
        visible = cached[:, None, : self._keys]
        return self._attend(rows[:, : c.heads], visible[: c.kv_heads], visible[c.kv_heads :])


class GroupedAttention:
    """Scaled dot-product attention; the mask is laid out once for all layers.

    Shared keys are never copied for each query head: the heads' queries are rows of one product. With many
    tokens the heads stay apart and read the same memory (a view with stride 0).

    Args:
        config: of the decoder.
        mask: (length, keys), added to the scores; None if every key is visible.
    """

    def __init__(self, config: DecoderConfig, mask: Tensor | None) -> None:
        self._config = config
        self._folded = mask is None or len(mask) <= MAX_FOLDED_TOKENS
        self._mask = mask if mask is None or not self._folded else mask.repeat(config.group, 1)

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        c, length = self._config, q.shape[0]
        heads = q.view(length, c.kv_heads, c.group, c.head_dim).permute(1, 2, 0, 3)
        if self._folded:
            heads = heads.reshape(c.kv_heads, 1, c.group * length, c.head_dim)
        else:
            keys, values = (each.expand(-1, c.group, -1, -1) for each in (keys, values))
        attention = unfused_attention if q.device.type == "mps" else F.scaled_dot_product_attention
        mixed = attention(heads, keys, values, attn_mask=self._mask, scale=c.attention_scale)
        mixed = mixed.view(c.kv_heads, c.group, length, c.head_dim).permute(2, 0, 1, 3)
        return mixed.reshape(length, c.heads * c.head_dim)


def unfused_attention(
    q: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None, scale: float
) -> Tensor:
    """`scaled_dot_product_attention` in single operations.

    On MPS the fused one is silently wrong for views that are not contiguous, such as part of a cache, in
    several releases of torch (pytorch/pytorch issues 163597 and 181133).
    """
    scores = (q * scale) @ keys.transpose(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ values


def causal_mask(start: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """(length, start + length): 0 where a token is visible, else -inf; None for a single token."""
    if length == 1:
        return None
    mask = torch.full((length, start + length), float("-inf"), dtype=dtype, device=device)
    return mask.triu_(start + 1)
