"""Attention over the cache: new tokens look at all that came before, and leave their keys and values there.

`length` is the number of new tokens and `keys` the number of all tokens so far. Heads that share keys and
values are Shazeer's multi-query attention (arXiv:1911.02150) and its grouped kind (arXiv:2305.13245).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import DecoderConfig
from model_runtime.decoding.layers import Projection
from model_runtime.decoding.positions import Turn


@dataclass(frozen=True)
class Step:
    """What all blocks on one device need to know of one step: made once for it, by the decoder."""

    cache: Cache
    turn: Turn
    mask: Tensor | None  # (length, keys), or None for one token, which sees everything


@dataclass(frozen=True)
class Attention:
    """One layer's attention; its keys are cached as they are compared, rotation and all."""

    config: DecoderConfig
    layer: int
    qkv: Projection
    out: Projection

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        """(length, width) → (length, width)"""
        c, length = self.config, x.shape[0]
        rows = self.qkv(x).view(length, c.heads + 2 * c.kv_heads, c.head_dim)
        step.turn(rows[:, : c.heads + c.kv_heads])
        q, k, v = torch.split(rows, [c.heads, c.kv_heads, c.kv_heads], dim=1)
        keys, values = step.cache.write(self.layer, k.transpose(0, 1), v.transpose(0, 1))
        keys, values = keys.unsqueeze(1), values.unsqueeze(1)  # (kv_heads, 1, keys, head_dim)
        # Shared keys are never copied out per query head. One new token: its query heads are the rows of one
        # product, so each key is read once. Many: the heads stay apart and all look at the same memory
        # (a view with stride 0), which spares a mask with a row for each head and token.
        if length == 1:
            q = q.view(c.kv_heads, 1, c.group, c.head_dim)
        else:
            q = q.view(length, c.kv_heads, c.group, c.head_dim).permute(1, 2, 0, 3)
            keys, values = (t.expand(-1, c.group, -1, -1) for t in (keys, values))
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=step.mask, scale=c.attention_scale)
        if length > 1:
            mixed = mixed.permute(2, 0, 1, 3)  # (length, kv_heads, group, head_dim)
        return self.out(mixed.reshape(length, c.heads * c.head_dim))


def causal_mask(start: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """(length, start + length): 0 where a new token may look, -inf at what comes after it."""
    if length == 1:
        return None
    mask = torch.full((length, start + length), float("-inf"), dtype=dtype, device=device)
    return mask.triu_(start + 1)
