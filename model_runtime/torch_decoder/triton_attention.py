"""Attention of a few new tokens on a GPU, in three Triton kernels per layer.

Replaces `attention.StaticStep` inside a CUDA graph. torch's attention runs each head of so short a query in
one program, so that few of a GPU's processors read the cache. Here the cache is split into parts that are
read in parallel and combined afterwards (Dao et al. 2023, "Flash-Decoding"); queries that share a key head
are rows of one product. Keys after a token's position are never read.
"""

# Triton compiles the kernels, so Python's rules do not apply: constants are upper-case by Triton's
# convention.
# ruff: noqa: N803
# mypy: disable-error-code="untyped-decorator, no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from model_runtime.decoding import DecoderConfig

TILE = 64
"""Keys processed at a time."""

MAX_PARTS = 32
"""The most parts that the cache is split into."""

QUERY_ROWS = 16
"""Queries of a key head in one program: the minimum of the matrix units."""


class TritonStep:
    """A step at positions that are in a tensor, over a fixed number of the cache's tokens.

    Args:
        config: of the decoder.
        layers: the cache's keys and values, for each layer, (2 · kv_heads, capacity, head_dim).
        tables: cosines and sines, each (context_length, 1, rotary.dim), if positions are rotations.
        positions: (length,), each below `keys`.
        keys: how many of the cache's tokens may be attended to.
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
        self._cos, self._sin = tables or (positions, positions)  # never read without rotations
        tiles = triton.cdiv(keys, TILE)
        self._tiles = triton.cdiv(tiles, MAX_PARTS)  # of each part
        self._parts = triton.cdiv(tiles, self._tiles)

    def __call__(self, layer: int, rows: Tensor) -> Tensor:
        """(length, heads + 2 · kv_heads, head_dim), contiguous, to (length, heads · head_dim)"""
        c, length, cache = self._config, len(rows), self._layers[layer]
        width = max(16, triton.next_power_of_2(c.head_dim))
        queries = torch.empty(length, c.heads, c.head_dim, dtype=rows.dtype, device=rows.device)
        _rotate_and_store[(length, c.heads + 2 * c.kv_heads)](
            rows, self._positions, self._cos, self._sin, queries, cache, cache.shape[1], HEADS=c.heads,
            KV_HEADS=c.kv_heads, HEAD_DIM=c.head_dim, ROTARY_DIM=c.rotary.dim if c.rotary else 0, WIDTH=width,
            num_warps=1,
        )  # fmt: skip
        parts, count = self._parts, length * c.heads
        partials = torch.empty(parts, count, c.head_dim, dtype=torch.float32, device=rows.device)
        maxima, sums = partials.new_empty(2, parts, count)
        blocks = triton.cdiv(length * c.group, QUERY_ROWS)
        _attend_part[(c.kv_heads * blocks, self._parts)](
            queries, cache, self._positions, partials, maxima, sums, length, cache.shape[1],
            c.attention_scale, KV_HEADS=c.kv_heads, GROUP=c.group, HEAD_DIM=c.head_dim, TILES=self._tiles,
            TILE=TILE, ROWS=QUERY_ROWS, WIDTH=width, num_warps=4, num_stages=1,
        )  # fmt: skip
        out = torch.empty(length, c.heads * c.head_dim, dtype=rows.dtype, device=rows.device)
        _combine_parts[(length * c.heads,)](
            partials, maxima, sums, out, length * c.heads,
            HEAD_DIM=c.head_dim, PARTS=self._parts, ROWS=triton.next_power_of_2(self._parts), WIDTH=width,
            num_warps=4,
        )  # fmt: skip
        return out


@triton.jit
def _rotate_and_store(
    rows, positions, cos, sin, queries, cache, capacity,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, ROTARY_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """Rotate one head of a token; keys and values go to the cache, queries to a tensor of their own."""
    token, head = tl.program_id(0), tl.program_id(1)
    position = tl.load(positions + token)
    at = tl.arange(0, WIDTH)
    source = rows + (token * (HEADS + 2 * KV_HEADS) + head) * HEAD_DIM
    x = tl.load(source + at, mask=at < HEAD_DIM, other=0.0)
    if ROTARY_DIM > 0:
        rotated = at < tl.where(head < HEADS + KV_HEADS, ROTARY_DIM, 0)
        partner = tl.where(at < ROTARY_DIM // 2, at + ROTARY_DIM // 2, at - ROTARY_DIM // 2)
        other = tl.load(source + partner, mask=rotated, other=0.0).to(tl.float32)
        c = tl.load(cos + position * ROTARY_DIM + at, mask=rotated, other=1.0).to(tl.float32)
        s = tl.load(sin + position * ROTARY_DIM + at, mask=rotated, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) * c + other * s).to(x.dtype)
    # One of the two stores is masked out entirely: a head is either a query or goes to the cache.
    query, cached = (token * HEADS + head) * HEAD_DIM, ((head - HEADS) * capacity + position) * HEAD_DIM
    tl.store(queries + query + at, x, mask=at < tl.where(head < HEADS, HEAD_DIM, 0))
    tl.store(cache + cached + at, x, mask=at < tl.where(head < HEADS, 0, HEAD_DIM))


@triton.jit
def _attend_part(
    queries, cache, positions, partials, maxima, sums, length, capacity, scale,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, TILES: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Attention of some queries of a key head over one part of the cache, not divided by the softmax sum."""
    blocks = tl.cdiv(length * GROUP, ROWS)
    kv_head, part = tl.program_id(0) // blocks, tl.program_id(1)
    row = (tl.program_id(0) % blocks) * ROWS + tl.arange(0, ROWS)
    valid = row < length * GROUP
    token = row // GROUP
    query = token * (KV_HEADS * GROUP) + kv_head * GROUP + row % GROUP  # index into (length, heads)
    position = tl.load(positions + token, mask=valid, other=-1)
    last = tl.max(position, 0)
    at = tl.arange(0, WIDTH)
    q = tl.load(
        queries + query[:, None] * HEAD_DIM + at[None, :],
        mask=valid[:, None] & (at < HEAD_DIM)[None, :],
        other=0.0,
    )
    keys = cache + kv_head.to(tl.int64) * capacity * HEAD_DIM
    values = cache + (KV_HEADS + kv_head).to(tl.int64) * capacity * HEAD_DIM
    # A finite stand-in for -inf, so that a part without visible keys gives no nan.
    maximum = tl.full((ROWS,), -1.0e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    output = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(TILES):
        key = (part * TILES + tile) * TILE + tl.arange(0, TILE)
        offset = key[:, None] * HEAD_DIM + at[None, :]
        readable = (key <= last)[:, None] & (at < HEAD_DIM)[None, :]
        k = tl.load(keys + offset, mask=readable, other=0.0)
        v = tl.load(values + offset, mask=readable, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(key[None, :] <= position[:, None], scores, -1.0e30)
        new_maximum = tl.maximum(maximum, tl.max(scores, 1))
        rescale = tl.exp(maximum - new_maximum)
        weights = tl.exp(scores - new_maximum[:, None])
        total = total * rescale + tl.sum(weights, 1)
        output = output * rescale[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        maximum = new_maximum
    flat = part * (length * KV_HEADS * GROUP) + query
    tl.store(maxima + flat, maximum, mask=valid)
    tl.store(sums + flat, total, mask=valid)
    tl.store(
        partials + flat[:, None] * HEAD_DIM + at[None, :],
        output,
        mask=valid[:, None] & (at < HEAD_DIM)[None, :],
    )


@triton.jit
def _combine_parts(
    partials, maxima, sums, out, queries,
    HEAD_DIM: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One query's output from the partial ones, each weighted by its share of the softmax sum."""
    query, part, at = tl.program_id(0), tl.arange(0, ROWS), tl.arange(0, WIDTH)
    flat = part * queries + query
    maximum = tl.load(maxima + flat, mask=part < PARTS, other=-1.0e30)
    share = tl.exp(maximum - tl.max(maximum, 0))
    total = tl.sum(share * tl.load(sums + flat, mask=part < PARTS, other=0.0), 0)
    partial = tl.load(
        partials + flat[:, None] * HEAD_DIM + at[None, :],
        mask=(part < PARTS)[:, None] & (at < HEAD_DIM)[None, :],
        other=0.0,
    )
    result = tl.sum(partial * share[:, None], 0) / total
    tl.store(out + query * HEAD_DIM + at, result.to(out.dtype.element_ty), mask=at < HEAD_DIM)
