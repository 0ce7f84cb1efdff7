"""Reads GGUF's quantised blocks whose scales are for 32 values, without decoding the integers.

Layouts: `ggml-common.h` and `ggml-quants.c` of llama.cpp. Types with other groups (Q6_K, Q3_K, Q2_K and the
IQ types) are decoded to floats by `tensors` and quantised anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from model_runtime.native import GROUP, GroupedRows

Bytes = NDArray[np.uint8]
"""Blocks, (rows, blocks, bytes)."""

SUPER_GROUPS = 8
"""Groups of 32 in a block of a K-quant."""


def grouped_rows(stored: Bytes, kind: Kind) -> GroupedRows | None:
    """Rows of quantised blocks, (rows, bytes), in groups; None for a type with other groups."""
    reader = READERS.get(kind)
    if reader is None:
        return None
    take_apart, size = reader
    return take_apart(stored.reshape(len(stored), -1, size))


def _q8_0(blocks: Bytes) -> GroupedRows:
    return GroupedRows(_by_row(blocks[..., 2:].view(np.int8)), _halves(blocks, 0), None, 8)


def _q4_0(blocks: Bytes) -> GroupedRows:
    return GroupedRows(_by_row(_nibbles(blocks[..., 2:])), _halves(blocks, 0), None, 4, offset=8)


def _q4_1(blocks: Bytes) -> GroupedRows:
    return GroupedRows(_by_row(_nibbles(blocks[..., 4:])), _halves(blocks, 0), _halves(blocks, 2), 4)


def _q5_0(blocks: Bytes) -> GroupedRows:
    values = _nibbles(blocks[..., 6:]) + 16 * _fifth_bits(blocks[..., 2:6])
    return GroupedRows(_by_row(values.astype(np.int8) - 16), _halves(blocks, 0), None, 8)


def _q5_1(blocks: Bytes) -> GroupedRows:
    values = _nibbles(blocks[..., 8:]) + 16 * _fifth_bits(blocks[..., 4:8])
    return GroupedRows(_by_row(values.view(np.int8)), _halves(blocks, 0), _halves(blocks, 2), 8)


def _q4_k(blocks: Bytes) -> GroupedRows:
    scales, minima = _super_scales(blocks)
    return GroupedRows(_by_row(_super_nibbles(blocks[..., 16:])), scales, minima, 4)


def _q5_k(blocks: Bytes) -> GroupedRows:
    scales, minima = _super_scales(blocks)
    # Byte i has the fifth bits of value i of each group, the first group's lowest.
    fifth = blocks[..., 16:48, None] >> np.arange(SUPER_GROUPS, dtype=np.uint8) & 1
    values = _super_nibbles(blocks[..., 48:]).reshape(*blocks.shape[:2], SUPER_GROUPS, GROUP)
    values = values + 16 * fifth.swapaxes(2, 3)
    return GroupedRows(_by_row(values.view(np.int8)), scales, minima, 8)


READERS: dict[Kind, tuple[Callable[[Bytes], GroupedRows], int]] = {
    Kind.Q8_0: (_q8_0, 34),
    Kind.Q4_0: (_q4_0, 18),
    Kind.Q4_1: (_q4_1, 20),
    Kind.Q5_0: (_q5_0, 22),
    Kind.Q5_1: (_q5_1, 24),
    Kind.Q4_K: (_q4_k, 144),
    Kind.Q5_K: (_q5_k, 176),
}
"""For each type a function, and the bytes of its blocks."""


def _by_row(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values).reshape(len(values), -1)


def _halves(blocks: Bytes, at: int) -> NDArray[np.float16]:
    """The fp16 number at a byte of each block, (rows, blocks)."""
    return np.ascontiguousarray(blocks[..., at : at + 2]).view(np.float16)[..., 0]


def _nibbles(packed: Bytes) -> Bytes:
    """The low halves of 16 bytes, then the high ones."""
    return np.concatenate((packed & 0x0F, packed >> 4), axis=-1)


def _fifth_bits(packed: Bytes) -> Bytes:
    """32 bits, the lowest first."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _super_nibbles(packed: Bytes) -> Bytes:
    """For each 32 bytes, the low halves of all, then the high ones."""
    pairs = packed.reshape(*packed.shape[:2], -1, GROUP)
    return np.stack((pairs & 0x0F, pairs >> 4), axis=3).reshape(*packed.shape[:2], -1)


def _super_scales(blocks: Bytes) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Scales and minima of all groups, each (rows, groups): 6 bits each, times one fp16 number for a block.

    The products are rounded to fp16, by at most 1/2048 of them.
    """
    packed = blocks[..., 4:16]
    low, high = packed[..., :4], packed[..., 4:8]
    rest = packed[..., 8:]
    scales = np.concatenate((low & 63, rest & 0x0F | low >> 6 << 4), axis=-1)
    minima = np.concatenate((high & 63, rest >> 4 | high >> 6 << 4), axis=-1)
    return _times(scales, _halves(blocks, 0)), _times(minima, -_halves(blocks, 2))


def _times(levels: Bytes, units: NDArray[np.float16]) -> NDArray[np.float16]:
    products = levels.astype(np.float32) * units.astype(np.float32)[..., None]
    return products.reshape(len(levels), -1).astype(np.float16)
