"""The attention of a few tokens, on a GPU: three kernels a layer, at positions that are in a tensor.

In place of `attention.StaticStep`, inside a graph. torch's attention gives each head of so short a query to
one program, which would have two dozen of a GPU's hundred and more processors read the cache, and with one
key head a single one; it would take longer than a tenth of the weights' time. Here the cache is cut into
parts that are read side by side, and their results are put together after (Dao et al. 2023,
"Flash-Decoding"). Queries that share a key head are rows of one product. What lies behind a token's position
is never read.
"""

# What is compiled by Triton is not Python's to check: constants are written large, as Triton's users expect.
# ruff: noqa: N803
# mypy: disable-error-code="import-not-found, untyped-decorator, no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from model_runtime.decoding.config import DecoderConfig

KEYS = 64
"""Keys that are compared at a time."""

PARTS = 32
"""The most parts that the cache is cut into."""

QUERIES = 16
"""Queries that share a key head in one program: what the matrix units take at least."""


class TritonStep:
    """A step at positions that are in a tensor, over a fixed number of the cache's tokens.

    Args:
        config: the decoder's facts.
        layers: the cache's keys and values, for each layer, (2 · kv_heads, capacity, head_dim).
        tables: cosines and sines, each (context_length, 1, rotary.dim), where positions are rotations.
        positions: (length,), each below `keys`.
        keys: how many of the cache's tokens may be looked at.
    """

    def __init__(
        self,
        config: DecoderConfig,
        layers: Sequence[Tensor],
        tables: tuple[Tensor, Tensor] | None,
        positions: Tensor,
        keys: int,
    ) -> None:
        self._config, self._layers, self._positions = config, layers, positions
        self._cos, self._sin = tables or (positions, positions)  # never read where nothing is turned
        tiles = triton.cdiv(keys, KEYS)
        self._tiles = triton.cdiv(tiles, PARTS)  # for each part
        self._parts = triton.cdiv(tiles, self._tiles)

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        """(length, heads + 2 · kv_heads, head_dim), contiguous → (length, heads · head_dim)"""
        c, length, held = self._config, len(rows), self._layers[layer]
        width = max(16, triton.next_power_of_2(c.head_dim))
        queries = torch.empty(length, c.heads, c.head_dim, dtype=rows.dtype, device=rows.device)
        _place[(length, c.heads + 2 * c.kv_heads)](
            rows, self._positions, self._cos, self._sin, queries, held, held.shape[1],
            HEADS=c.heads, KV_HEADS=c.kv_heads, HEAD_DIM=c.head_dim, TURNED=c.rotary.dim if c.rotary else 0,
            WIDTH=width, num_warps=1,
        )  # fmt: skip
        parts, count = self._parts, length * c.heads
        mixed = torch.empty(parts, count, c.head_dim, dtype=torch.float32, device=rows.device)
        highest, total = mixed.new_empty(2, parts, count)
        blocks = triton.cdiv(length * c.group, QUERIES)
        _part[(c.kv_heads * blocks, self._parts)](
            queries, held, self._positions, mixed, highest, total, length, held.shape[1], c.attention_scale,
            KV_HEADS=c.kv_heads, GROUP=c.group, HEAD_DIM=c.head_dim, TILES=self._tiles, TILE=KEYS,
            ROWS=QUERIES, WIDTH=width, num_warps=4, num_stages=1,
        )  # fmt: skip
        out = torch.empty(length, c.heads * c.head_dim, dtype=rows.dtype, device=rows.device)
        _together[(length * c.heads,)](
            mixed, highest, total, out, length * c.heads,
            HEAD_DIM=c.head_dim, PARTS=self._parts, ROWS=triton.next_power_of_2(self._parts), WIDTH=width,
            num_warps=4,
        )  # fmt: skip
        return out


@triton.jit
def _place(
    rows, positions, cos, sin, queries, held, capacity,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, TURNED: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """Turns a token's queries and keys; keys and values go to the cache, queries to a tensor of their own."""
    token, head = tl.program_id(0), tl.program_id(1)
    position = tl.load(positions + token)
    at = tl.arange(0, WIDTH)
    source = rows + (token * (HEADS + 2 * KV_HEADS) + head) * HEAD_DIM
    x = tl.load(source + at, mask=at < HEAD_DIM, other=0.0)
    if TURNED > 0:
        turned = at < tl.where(head < HEADS + KV_HEADS, TURNED, 0)
        partner = tl.where(at < TURNED // 2, at + TURNED // 2, at - TURNED // 2)
        other = tl.load(source + partner, mask=turned, other=0.0).to(tl.float32)
        c = tl.load(cos + position * TURNED + at, mask=turned, other=1.0).to(tl.float32)
        s = tl.load(sin + position * TURNED + at, mask=turned, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) * c + other * s).to(x.dtype)
    # A head goes to one of two places, and none of it to the other.
    query, kept = (token * HEADS + head) * HEAD_DIM, ((head - HEADS) * capacity + position) * HEAD_DIM
    tl.store(queries + query + at, x, mask=at < tl.where(head < HEADS, HEAD_DIM, 0))
    tl.store(held + kept + at, x, mask=at < tl.where(head < HEADS, 0, HEAD_DIM))


@triton.jit
def _part(
    queries, held, positions, mixed, highest, total, length, capacity, scale,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, TILES: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Attention of some queries of a key head over one part of the cache, not yet divided by its weights."""
    blocks = tl.cdiv(length * GROUP, ROWS)
    kv_head, part = tl.program_id(0) // blocks, tl.program_id(1)
    row = (tl.program_id(0) % blocks) * ROWS + tl.arange(0, ROWS)
    there = row < length * GROUP
    token = row // GROUP
    query = token * (KV_HEADS * GROUP) + kv_head * GROUP + row % GROUP  # (length, heads), flat
    position = tl.load(positions + token, mask=there, other=-1)
    last = tl.max(position, 0)
    at = tl.arange(0, WIDTH)
    q = tl.load(
        queries + query[:, None] * HEAD_DIM + at[None, :],
        mask=there[:, None] & (at < HEAD_DIM)[None, :],
        other=0.0,
    )
    keys = held + kv_head.to(tl.int64) * capacity * HEAD_DIM
    values = held + (KV_HEADS + kv_head).to(tl.int64) * capacity * HEAD_DIM
    # A finite stand-in for -inf: where a part has nothing to be seen, no nan comes of it.
    most = tl.full((ROWS,), -1.0e30, tl.float32)
    weight = tl.zeros((ROWS,), tl.float32)
    found = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(TILES):
        key = (part * TILES + tile) * TILE + tl.arange(0, TILE)
        place = key[:, None] * HEAD_DIM + at[None, :]
        seen = (key <= last)[:, None] & (at < HEAD_DIM)[None, :]
        k = tl.load(keys + place, mask=seen, other=0.0)
        v = tl.load(values + place, mask=seen, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(key[None, :] <= position[:, None], scores, -1.0e30)
        more = tl.maximum(most, tl.max(scores, 1))
        shrunk = tl.exp(most - more)
        shares = tl.exp(scores - more[:, None])
        weight = weight * shrunk + tl.sum(shares, 1)
        found = found * shrunk[:, None] + tl.dot(shares.to(v.dtype), v, input_precision="ieee")
        most = more
    flat = part * (length * KV_HEADS * GROUP) + query
    tl.store(highest + flat, most, mask=there)
    tl.store(total + flat, weight, mask=there)
    tl.store(
        mixed + flat[:, None] * HEAD_DIM + at[None, :],
        found,
        mask=there[:, None] & (at < HEAD_DIM)[None, :],
    )


@triton.jit
def _together(
    mixed, highest, total, out, queries,
    HEAD_DIM: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One query's results from all parts, each by its share of the weights."""
    query, part, at = tl.program_id(0), tl.arange(0, ROWS), tl.arange(0, WIDTH)
    flat = part * queries + query
    most = tl.load(highest + flat, mask=part < PARTS, other=-1.0e30)
    share = tl.exp(most - tl.max(most, 0))
    weight = tl.sum(share * tl.load(total + flat, mask=part < PARTS, other=0.0), 0)
    found = tl.load(
        mixed + flat[:, None] * HEAD_DIM + at[None, :],
        mask=(part < PARTS)[:, None] & (at < HEAD_DIM)[None, :],
        other=0.0,
    )
    result = tl.sum(found * share[:, None], 0) / weight
    tl.store(out + query * HEAD_DIM + at, result.to(out.dtype.element_ty), mask=at < HEAD_DIM)
