"""Matrices in groups of 32 values, in 8 or 4 bits: the arithmetic in numpy, and the kernels' memory layout.

A value is `scale · (q - offset) + minimum`, with a scale, and in some formats a minimum, for each 32 values
of a row. That is the granularity of GGUF's formats, which are taken as they are. `GroupedRows` has the
integers row by row, so that rows can be reordered and joined; `GroupedMatrix` has them in the layout of
`src/interface.h`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_runtime.native.library import GROUP, ROWS, MatrixStruct

Bits = Literal[4, 8]
Floats = NDArray[np.float32]

ALIGNMENT = 64
"""Bytes; a vector of the widest kernels is read from one cache line."""

LEVELS = 32512
"""The integer that the largest activation of a group becomes."""

REFITS = 2
"""How often scales and minima of 4 bits are fitted to the values."""


@dataclass(frozen=True)
class GroupedRows:
    """Quantised rows.

    Attributes:
        values: (rows, columns), int8, or uint8 below 16 for 4 bits.
        scales: (rows, groups), fp16.
        minima: likewise, or None.
        bits: of a value.
        offset: subtracted from the values.
    """

    values: NDArray[Any]
    scales: NDArray[np.float16]
    minima: NDArray[np.float16] | None
    bits: Bits
    offset: int = 0

    def dequantized(self) -> Floats:
        """(rows, columns)"""
        columns = self.values.shape[1]
        values: Floats = self.values.astype(np.float32) - np.float32(self.offset)
        weights: Floats = values * self._by_value(self.scales)[:, :columns]
        return weights if self.minima is None else weights + self._by_value(self.minima)[:, :columns]

    def take(self, rows: NDArray[np.int64]) -> GroupedRows:
        """Some of the rows, in this order."""
        minima = None if self.minima is None else self.minima[rows]
        return replace(self, values=self.values[rows], scales=self.scales[rows], minima=minima)

    def _by_value(self, groups: NDArray[np.float16]) -> Floats:
        return np.repeat(groups.astype(np.float32), GROUP, axis=1)


@dataclass(frozen=True)
class GroupedMatrix:
    """A matrix that native kernels multiply with; see `FimbleMatrix` for the layout of its arrays."""

    shape: tuple[int, int]
    bits: Bits
    offset: int
    values: NDArray[np.uint8]
    scales: NDArray[np.float16]  # (rows / 16, groups, 16)
    minima: NDArray[np.float16] | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + (0 if self.minima is None else self.minima.nbytes)

    def numel(self) -> int:
        """The number of elements."""
        return self.shape[0] * self.shape[1]

    def struct(self) -> MatrixStruct:
        """For the C interface; it refers to this matrix's memory."""
        return MatrixStruct(
            self.values.ctypes.data,
            self.scales.ctypes.data,
            None if self.minima is None else self.minima.ctypes.data,
            *self.shape,
            self.bits,
            self.offset,
        )

    def rows(self) -> GroupedRows:
        """The same rows, unpacked."""
        rows, columns = self.shape
        blocks = self.values.reshape(len(self.scales), -1, ROWS, 4)
        if self.bits == 4:
            blocks = np.stack((blocks & 0x0F, blocks >> 4), axis=2).reshape(len(self.scales), -1, ROWS, 4)
        values = blocks.swapaxes(1, 2).reshape(len(self.scales) * ROWS, -1)[:rows, :columns]
        return GroupedRows(
            values.view(np.int8) if self.bits == 8 else values,
            _unpacked(self.scales, rows),
            None if self.minima is None else _unpacked(self.minima, rows),
            self.bits,
            self.offset,
        )

    def dequantized(self) -> Floats:
        """(rows, columns)"""
        return self.rows().dequantized()


def quantize_rows(weight: Floats, bits: Bits) -> GroupedRows:
    """Quantise rows of floats, (rows, columns): symmetrically in 8 bits, with a minimum in 4."""
    columns = weight.shape[1]
    groups = _padded(weight, axis=1, multiple=GROUP).reshape(len(weight), -1, GROUP)
    if bits == 8:
        scales = _rounded_up(np.abs(groups).max(axis=2) / 127)
        values = np.rint(groups * _inverse(scales)[..., None]).astype(np.int8)
        return GroupedRows(values.reshape(len(weight), -1)[:, :columns], scales, None, 8)
    minima, scales = _fitted_lines(groups)
    shifted = (groups - minima.astype(np.float32)[..., None]) * _inverse(scales)[..., None]
    values = np.clip(np.rint(shifted), 0, 15).astype(np.uint8)
    return GroupedRows(values.reshape(len(weight), -1)[:, :columns], scales, minima, 4)


def _fitted_lines(groups: Floats) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Minima and scales of 16 levels for groups of values, (rows, groups, 32).

    They begin with the range of the values; then levels and line are fitted to each other by least squares.
    """
    minima, scales = groups.min(axis=2), (groups.max(axis=2) - groups.min(axis=2)) / 15
    means = groups.mean(axis=2)
    for _ in range(REFITS):
        inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
        levels = np.clip(np.rint((groups - minima[..., None]) * inverse[..., None]), 0, 15)
        level_means = levels.mean(axis=2)
        levels -= level_means[..., None]
        spread = np.square(levels).sum(axis=2)
        scales = np.divide((levels * groups).sum(axis=2), spread, out=scales, where=spread > 0)
        minima = means - scales * level_means
    return minima.astype(np.float16), scales.astype(np.float16)


def with_row_scales(values: NDArray[np.int8], scales: Floats) -> GroupedRows:
    """Rows in int8, (rows, columns), with one scale each, (rows,)."""
    groups = -(-values.shape[1] // GROUP)
    return GroupedRows(values, np.repeat(scales.astype(np.float16)[:, None], groups, axis=1), None, 8)


def join_rows(parts: Sequence[GroupedRows]) -> GroupedRows:
    """The rows of all parts, in the smallest format that has all of theirs."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if any((part.bits, part.offset) != (first.bits, first.offset) for part in parts):
        parts = [_in_8_bits(part) for part in parts]
    minima = None
    if any(part.minima is not None for part in parts):
        given = (np.zeros_like(part.scales) if part.minima is None else part.minima for part in parts)
        minima = np.concatenate(list(given))
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        scales=np.concatenate([part.scales for part in parts]),
        minima=minima,
    )


def _in_8_bits(rows: GroupedRows) -> GroupedRows:
    return replace(rows, values=rows.values.astype(np.int8) - np.int8(rows.offset), bits=8, offset=0)


def pack(rows: GroupedRows) -> GroupedMatrix:
    """A copy in the layout of the kernels."""
    count, columns = rows.values.shape
    values = _padded(_padded(rows.values.view(np.uint8), 1, GROUP), 0, ROWS)
    blocks = len(values) // ROWS
    if rows.bits == 4:
        eight = values.reshape(len(values), -1, 2, 4)
        values = eight[:, :, 0] | eight[:, :, 1] << 4
    # Four bytes of a row stay together, which makes this a transposition of words.
    words = values.reshape(blocks, ROWS, -1).view(np.uint32).swapaxes(1, 2)
    packed = aligned(words.size, np.uint32).reshape(words.shape)
    packed[...] = words
    return GroupedMatrix(
        (count, columns),
        rows.bits,
        rows.offset,
        packed.reshape(-1).view(np.uint8),
        _packed(rows.scales),
        None if rows.minima is None else _packed(rows.minima),
    )


def quantized_activations(x: Floats) -> tuple[NDArray[np.int32], Floats]:
    """Activations, (tokens, columns), as the kernels round them: integers, and a scale for each group."""
    groups = _padded(x, axis=1, multiple=GROUP).reshape(len(x), -1, GROUP)
    most = np.abs(groups).max(axis=2)
    slope = np.divide(np.float32(LEVELS), most, out=np.zeros_like(most), where=most > 0)
    return np.rint(groups * slope[..., None]).astype(np.int32), most / np.float32(LEVELS)


def aligned(count: int, dtype: Any) -> NDArray[Any]:
    """Uninitialised memory for `count` elements, aligned for the kernels."""
    size = count * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype)


def _rounded_up(scales: Floats) -> NDArray[np.float16]:
    """fp16 scales that are not smaller, so that no value lies beyond the last level."""
    rounded = scales.astype(np.float16)
    return np.where(rounded.astype(np.float32) < scales, np.nextafter(rounded, np.float16(np.inf)), rounded)


def _inverse(scales: NDArray[np.float16]) -> Floats:
    wide = scales.astype(np.float32)
    inverse: Floats = np.divide(np.float32(1), wide, out=np.zeros_like(wide), where=wide > 0)
    return inverse


def _padded(array: NDArray[Any], axis: int, multiple: int) -> NDArray[Any]:
    missing = -array.shape[axis] % multiple
    if not missing:
        return np.ascontiguousarray(array)
    widths = [(0, missing if number == axis else 0) for number in range(array.ndim)]
    return np.pad(array, widths)


def _packed(groups: NDArray[np.float16]) -> NDArray[np.float16]:
    """(rows, groups) to (rows / 16, groups, 16)"""
    by_block = _padded(groups, 0, ROWS).reshape(-1, ROWS, groups.shape[1]).swapaxes(1, 2)
    packed: NDArray[np.float16] = aligned(by_block.size, np.float16).reshape(by_block.shape)
    packed[...] = by_block
    return packed


def _unpacked(groups: NDArray[np.float16], rows: int) -> NDArray[np.float16]:
    unpacked: NDArray[np.float16] = groups.swapaxes(1, 2).reshape(-1, groups.shape[1])[:rows]
    return unpacked
