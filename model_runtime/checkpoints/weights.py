"""A checkpoint's weights under the decoder's names, each read when it is asked for, in numpy.

The families' tensor names and row orders, and the ways in which weights are stored, are hidden here from
loading and conversion. `torch_weights` has the same weights as tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families import Family
from model_runtime.checkpoints.folder import CheckpointFolder, some
from model_runtime.checkpoints.stored import Stored
from model_runtime.decoding import DecoderConfig, weight_shapes
from model_runtime.native import Bits, GroupedRows, join_rows, quantize_rows, with_row_scales

if TYPE_CHECKING:
    from model_runtime.checkpoints.gguf.files import GgufFile

Checkpoint: TypeAlias = "CheckpointFolder | GgufFile"

INT8_METHOD = "fimble-int8"
"""fimble's own `quant_method`: a weight `X` in int8, with a scale for each output row in `X.scale`."""

PIECE_VALUES = 1 << 18
"""Values quantised at a time."""

VALUE_HEAD = re.compile(r"v_head\.\w+(\.\w+)*")
"""The head that reinforcement learning with trl adds to a model; it has no part in generation."""


@dataclass(frozen=True, eq=False)
class Int8Rows:
    """A tensor in int8 as it is stored, with a scale for each row."""

    values: NDArray[np.int8]  # (rows, columns)
    scale: NDArray[np.float32]  # (rows,)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    def rows(self, rows: slice) -> Int8Rows:
        """Some of the rows."""
        return Int8Rows(self.values[rows], self.scale[rows])

    def floats(self) -> NDArray[np.float32]:
        """(rows, columns)"""
        return self.values * self.scale[:, None]


class Weights:
    """A checkpoint's weights, in the decoder's layout.

    Args:
        checkpoint: a folder, or a GGUF file.
        family: of the checkpoint.
        config: of the decoder.

    Raises:
        CorruptCheckpoint: tensors are missing or unexpected; on look-up: one has another shape.
        UnsupportedModel: an unknown kind of quantisation; on look-up: a tensor is not floating point.
    """

    def __init__(self, checkpoint: Checkpoint, family: Family, config: DecoderConfig) -> None:
        self.checkpoint, self.family, self.config = checkpoint, family, config
        self.shapes = weight_shapes(config)
        self.layout = family.layout(config)
        self._quantized = is_quantized(checkpoint.config)
        self._check_names()

    def is_int8(self, name: str) -> bool:
        """Whether all of a weight is stored in int8."""
        return self._quantized and all(self.checkpoint[part.name].dtype == "I8" for part in self.layout[name])

    def stored(self, name: str) -> list[Stored | Int8Rows]:
        """The parts of a weight as they are stored, memory-mapped, in the checkpoint's order."""
        columns = self.shapes[name][1:]
        return [self._tensor(part.name, (part.rows, *columns)) for part in self.layout[name]]

    def stored_bytes(self) -> int:
        """The size of all weights as they are stored; raises as a look-up does."""
        return sum(part.nbytes for name in self.shapes for part in self.stored(name))

    def floats(self, name: str) -> NDArray[np.float32]:
        """A copy of a weight in fp32."""
        parts = [
            part.order(tensor.floats()) if part.order else tensor.floats()
            for part, tensor in zip(self.layout[name], self.stored(name), strict=True)
        ]
        return np.concatenate(parts)

    def grouped(self, name: str, bits: Bits) -> GroupedRows:
        """A matrix in groups of 32, of at most `bits`; raises as a look-up does.

        What is stored in no more bits stays as it is. A row's scale becomes that of all its groups.
        """
        parts = []
        for part, tensor in zip(self.layout[name], self._stored_or_grouped(name, bits), strict=True):
            if isinstance(tensor, Int8Rows) and bits == 8:
                rows = with_row_scales(tensor.values, tensor.scale)
            elif isinstance(tensor, GroupedRows):
                rows = tensor
            else:
                rows = _quantized(tensor, bits)
            parts.append(rows.take(part.order.index) if part.order else rows)
        return join_rows(parts)

    def _stored_or_grouped(self, name: str, bits: Bits) -> Iterator[Stored | Int8Rows | GroupedRows]:
        columns = self.shapes[name][1]
        for part in self.layout[name]:
            rows = self.checkpoint.grouped(part.name)
            if rows is None or rows.bits > bits:
                yield self._tensor(part.name, (part.rows, columns))
            else:
                self._check_shape(part.name, rows.values.shape, (part.rows, columns))
                yield rows

    def _check_names(self) -> None:
        wanted = {part.name for parts in self.layout.values() for part in parts}
        found = set(self.checkpoint)
        if missing := wanted - found:
            raise CorruptCheckpoint(f"{self.checkpoint.path} lacks tensor {some(missing)}: download it again")
        scales = {f"{name}.scale" for name in wanted} if self._quantized else set()
        unknown = {
            name
            for name in found - wanted - scales
            if not self.family.ignored.fullmatch(name) and not VALUE_HEAD.fullmatch(name)
        }
        if unknown:
            raise CorruptCheckpoint(
                f"{self.checkpoint.path} has unexpected tensor {some(unknown)}: "
                "is its config.json the right one?"
            )

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Stored | Int8Rows:
        tensor = self.checkpoint[name]
        self._check_shape(name, tensor.shape, shape)
        if tensor.dtype == "I8" and self._quantized:
            return Int8Rows(tensor.values, self._scale(name, shape[0]))
        if not tensor.is_float:
            raise UnsupportedModel(f"{self.checkpoint.path}: tensor {name!r} has dtype {tensor.dtype}")
        return tensor

    def _check_shape(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if found != wanted:
            raise CorruptCheckpoint(
                f"{self.checkpoint.path}: tensor {name!r} has shape {found}, config.json asks for {wanted}"
            )

    def _scale(self, name: str, rows: int) -> NDArray[np.float32]:
        """The scales of a tensor in int8, (rows,)."""
        scale = self.checkpoint.get(f"{name}.scale")
        if scale is None:
            raise CorruptCheckpoint(f"{self.checkpoint.path} lacks tensor '{name}.scale': download it again")
        if scale.shape != (rows,) or not scale.is_float:
            raise CorruptCheckpoint(
                f"{self.checkpoint.path}: tensor '{name}.scale' has shape {scale.shape} and dtype "
                f"{scale.dtype}; a float for each of {rows} rows is needed"
            )
        return scale.floats()


def _quantized(tensor: Stored | Int8Rows, bits: Bits) -> GroupedRows:
    """Quantise a matrix piece by piece, since intermediates are several times as large."""
    rows, columns = tensor.values.shape
    step = max(1, PIECE_VALUES // columns)
    pieces = (tensor.rows(slice(first, first + step)) for first in range(0, rows, step))
    return join_rows([quantize_rows(piece.floats(), bits) for piece in pieces])


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with this config.json is in fimble's int8 format.

    Raises:
        UnsupportedModel: it is quantised in another way.
    """
    quantization = config.get("quantization_config")
    if quantization is None:
        return False
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
    if method != INT8_METHOD:
        raise UnsupportedModel(
            f"quantization_config: quant_method {method!r} is not supported; "
            f"use {INT8_METHOD!r} or a checkpoint that is not quantised"
        )
    return True
