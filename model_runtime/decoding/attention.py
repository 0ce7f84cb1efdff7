"""Attention over the cache: new tokens look at all that came before, and leave their keys and values there.

A layer's attention is the same in every step; what differs is where keys and values are put and how much is
looked at. `EagerStep` reads both off Python's numbers. `RowwiseStep` does too, and gives a token the same
bits in whatever company it comes. `StaticStep` finds them in a tensor, so that a graph of it serves every
position. `triton_attention` does what the latter does in three kernels.

`length` is the number of new tokens and `keys` the number of tokens looked at. Heads that share keys and
values are Shazeer's multi-query attention (arXiv:1911.02150) and its grouped kind (arXiv:2305.13245).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding.cache import ALIGNED, Window, aligned
from model_runtime.decoding.config import DecoderConfig
from model_runtime.decoding.layers import Adding, Projection
from model_runtime.decoding.positions import Turn

FOLDED = 16
"""With up to so many tokens the query heads of a key head become rows of one product, so that each key is
read once, at the price of a mask with a row for each of them. On a CPU up to 3.5 times as fast at 2 rows."""

TOGETHER = 4
"""A product of so many rows, or a multiple, makes a row's sums in the same order however many rows there are.
With fewer it is by their number that another routine makes them, in another order."""

Step = Callable[[int, Tensor], Tensor]
"""A layer's number and its product with `qkv`, (length, heads + 2 · kv_heads, head_dim), which it may change;
to what its heads found, (length, heads · head_dim). Made once for all blocks on a device, by the decoder."""


@dataclass(frozen=True)
class Attention:
    """One layer's attention; its keys are cached as they are compared, rotation and all."""

    config: DecoderConfig
    layer: int
    qkv: Projection
    out: Adding

    def __call__(self, x: Tensor, step: Step, onto: Tensor) -> Tensor:
        """(length, width), added to `onto`, (length, width)"""
        c = self.config
        rows = self.qkv(x).view(x.shape[0], c.heads + 2 * c.kv_heads, c.head_dim)
        return self.out(step(self.layer, rows), onto)


class EagerStep:
    """A step at a place that Python knows, over exactly the tokens that are there.

    Args:
        config: the decoder's facts.
        windows: the cache's, for each layer.
        turn: what positions do to queries and keys, if anything.
        mask: (length, keys), or None for one token, which sees everything.
    """

    def __init__(
        self, config: DecoderConfig, windows: Sequence[Window], turn: Turn | None, mask: Tensor | None
    ) -> None:
        self._config, self._windows, self._turn = config, windows, turn
        self._attend = Attend(config, mask)

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        c, length = self._config, rows.shape[0]
        if self._turn is not None:
            self._turn(rows[:, : c.heads + c.kv_heads])
        slot, keys, values = self._windows[layer]
        slot.copy_(rows[:, c.heads :].transpose(0, 1).view(2, c.kv_heads, 1, length, c.head_dim))
        return self._attend(rows[:, : c.heads], keys, values)


class RowwiseStep:
    """A step in which every token is computed as if it came alone: over keys whose number only moves in
    `ALIGNED` steps, by products that make each sum in one order.

    With products that are rowwise too, logits depend on the tokens alone and not on how they were grouped:
    a draft, a prompt cut in pieces and one that was typed key by key agree bit by bit. Where activations are
    rounded to int8 this is worth having, since the last bit of a sum may there decide about a whole step.

    Args:
        config: the decoder's facts.
        windows: the cache's, for each layer, with `aligned` many keys.
        turn: as for `EagerStep`.
        start: the first token's position.
        length: how many tokens come.
    """

    def __init__(
        self, config: DecoderConfig, windows: Sequence[Window], turn: Turn | None, start: int, length: int
    ) -> None:
        self._config, self._windows, self._turn = config, windows, turn
        # Cut where the number of keys moves, so that a row never sees more of them than alone.
        cuts = [start, *range(aligned(start + 1), start + length, ALIGNED), start + length]
        self._parts = [
            (slice(first - start, end - start), _padded_mask(config.group, first, end))
            for first, end in pairwise(cuts)
        ]

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        c, length = self._config, rows.shape[0]
        if self._turn is not None:
            self._turn(rows[:, : c.heads + c.kv_heads])
        slot, keys, values = self._windows[layer]
        slot.copy_(rows[:, c.heads :].transpose(0, 1).view(2, c.kv_heads, 1, length, c.head_dim))
        q = rows[:, : c.heads]
        if len(self._parts) == 1:
            return self._attend(q, keys, values, self._parts[0][1])
        return torch.cat([self._attend(q[part], keys, values, mask) for part, mask in self._parts])

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """q (rows, heads, head_dim); keys and values (kv_heads, 1, at least the mask's, head_dim)"""
        c, count, seen = self._config, q.shape[0], mask.shape[-1]
        if keys.shape[2] != seen:
            keys, values = keys[:, :, :seen], values[:, :, :seen]
        q = q.view(count, c.kv_heads, c.group, c.head_dim).transpose(0, 1)
        q = q.reshape(c.kv_heads, 1, count * c.group, c.head_dim)
        if missing := len(mask) - q.shape[2]:
            q = F.pad(q, (0, 0, 0, missing))
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=c.attention_scale)
        mixed = mixed[:, 0, : count * c.group].view(c.kv_heads, count, c.group, c.head_dim)
        return mixed.transpose(0, 1).reshape(count, c.heads * c.head_dim)


def _padded_mask(group: int, start: int, end: int) -> Tensor:
    """(queries, keys): -inf at what comes after a position, whose queries are `group` rows one after another.

    The rows are filled up to a multiple of `TOGETHER`; those that nobody asks for see everything.
    """
    keys, queries = aligned(end), (end - start) * group
    hidden = torch.arange(keys) > torch.arange(start, end).repeat_interleave(group)[:, None]
    mask = torch.zeros(-(-queries // TOGETHER) * TOGETHER, keys)
    mask[:queries].masked_fill_(hidden, float("-inf"))
    return mask


class StaticStep:
    """A step at positions that are in a tensor, over a fixed number of the cache's tokens.

    Nothing in it depends on a number that changes from step to step: captured once, it may be replayed.

    Args:
        config: the decoder's facts.
        layers: the cache's keys and values, for each layer.
        turn: as for `EagerStep`.
        positions: (length,), each below `keys`.
        keys: how many of the cache's tokens are looked at; those after a token's own position are masked.
            They must be finite, as everything is that was ever computed.
        dtype: of the activations.
    """

    def __init__(
        self,
        config: DecoderConfig,
        layers: Sequence[Tensor],
        turn: Turn | None,
        positions: Tensor,
        keys: int,
        dtype: torch.dtype,
    ) -> None:
        self._config, self._layers, self._turn, self._positions = config, layers, turn, positions
        hidden = torch.arange(keys, device=positions.device) > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device)
        self._keys = keys
        self._attend = Attend(config, mask.masked_fill_(hidden, float("-inf")))

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        c, held = self._config, self._layers[layer]
        if self._turn is not None:
            self._turn(rows[:, : c.heads + c.kv_heads])
        held.index_copy_(1, self._positions, rows[:, c.heads :].transpose(0, 1))
        seen = held[:, None, : self._keys]
        return self._attend(rows[:, : c.heads], seen[: c.kv_heads], seen[c.kv_heads :])


class Attend:
    """Scaled dot-product attention of one step's queries; its mask is laid out once for all layers.

    Shared keys are never copied out per query head: the heads' queries are rows of one product. Only where
    there are many tokens do the heads stay apart and look at the same memory (a view with stride 0).

    Args:
        config: the decoder's facts.
        mask: (length, keys), added to the scores; None where everything is seen.
    """

    def __init__(self, config: DecoderConfig, mask: Tensor | None) -> None:
        self._config = config
        self._folded = mask is None or len(mask) <= FOLDED
        self._mask = mask if mask is None or not self._folded else mask.repeat(config.group, 1)

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """q (length, heads, head_dim); keys and values (kv_heads, 1, keys, head_dim)"""
        c, length = self._config, q.shape[0]
        heads = q.view(length, c.kv_heads, c.group, c.head_dim).permute(1, 2, 0, 3)
        if self._folded:
            heads = heads.reshape(c.kv_heads, 1, c.group * length, c.head_dim)
        else:
            keys, values = (each.expand(-1, c.group, -1, -1) for each in (keys, values))
        attention = spelt_out if q.device.type == "mps" else F.scaled_dot_product_attention
        mixed = attention(heads, keys, values, attn_mask=self._mask, scale=c.attention_scale)
        mixed = mixed.view(c.kv_heads, c.group, length, c.head_dim).permute(2, 0, 1, 3)
        return mixed.reshape(length, c.heads * c.head_dim)


def spelt_out(q: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None, scale: float) -> Tensor:
    """`scaled_dot_product_attention` in its single operations.

    On MPS the fused one is silently wrong for views that are not contiguous, such as part of a cache, in
    several releases of torch (pytorch/pytorch issues 163597 and 181133).
    """
    scores = (q * scale) @ keys.transpose(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ values


def causal_mask(start: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """(length, start + length): 0 where a new token may look, -inf at what comes after it."""
    if length == 1:
        return None
    mask = torch.full((length, start + length), float("-inf"), dtype=dtype, device=device)
    return mask.triu_(start + 1)
