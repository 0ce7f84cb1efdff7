"""A checkpoint's weights under the decoder's names and in its layout, each read when it is asked for.

The families' tensor names and row orders, and the ways in which weights are stored, are hidden here from
loading and conversion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.device_map import DeviceMap, module_of
from model_runtime.checkpoints.families import Family
from model_runtime.checkpoints.folder import CheckpointFolder, some
from model_runtime.decoding import DecoderConfig, Int8Weight, quantize, weight_shapes
from model_runtime.native import Bits, GroupedRows, join_rows, quantize_rows, with_row_scales

if TYPE_CHECKING:
    from model_runtime.checkpoints.gguf.files import GgufFile

Checkpoint: TypeAlias = "CheckpointFolder | GgufFile"

CPU = torch.device("cpu")

INT8_METHOD = "fimble-int8"
"""fimble's own `quant_method`: a weight `X` in int8, with a scale for each output row in `X.scale`."""

VALUE_HEAD = re.compile(r"v_head\.\w+(\.\w+)*")
"""The head that reinforcement learning with trl adds to a model; it has no part in generation."""


class Weights(Mapping[str, Tensor]):
    """A checkpoint's weights, under the decoder's names and in its layout.

    Args:
        checkpoint: a folder, or a GGUF file.
        family: of the checkpoint.
        config: of the decoder.
        dtype: of the weights; None for that of the files.
        device: where to put the weights: one device, or one for each module.

    Raises:
        CorruptCheckpoint: tensors are missing or unexpected; on look-up: one has another shape.
        UnsupportedModel: an unknown kind of quantisation; on look-up: a tensor is not floating point.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        family: Family,
        config: DecoderConfig,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | DeviceMap = CPU,
    ) -> None:
        self.checkpoint, self.family, self.config = checkpoint, family, config
        self.shapes = weight_shapes(config)
        self._layout = family.layout(config)
        self._dtype, self._device = dtype, device
        self._quantized = is_quantized(checkpoint.config)
        self._check_names()

    def __getitem__(self, name: str) -> Tensor:
        parts = [
            part.dequantized(torch.float32) if isinstance(part, Int8Weight) else part
            for part in self._stored(name)
        ]
        dtype = self._dtype or reduce(torch.promote_types, (part.dtype for part in parts))
        return self._assembled(name, parts, dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def is_int8(self, name: str) -> bool:
        """Whether all of a weight is stored in int8."""
        return self._quantized and all(
            self.checkpoint[part.name].dtype == torch.int8 for part in self._layout[name]
        )

    def int8(self, name: str) -> Int8Weight:
        """A matrix in int8, as it is stored or quantised now; raises as a look-up does."""
        parts = [part if isinstance(part, Int8Weight) else quantize(part) for part in self._stored(name)]
        return Int8Weight(
            self._assembled(name, [part.values for part in parts], torch.int8),
            self._assembled(name, [part.scale for part in parts], torch.float32),
        )

    def grouped(self, name: str, bits: Bits) -> GroupedRows:
        """A matrix in groups of 32, of at most `bits`; raises as a look-up does.

        What is stored in no more bits stays as it is. A row's scale becomes that of all its groups.
        """
        parts = []
        for part, tensor in zip(self._layout[name], self._stored_or_grouped(name, bits), strict=True):
            if isinstance(tensor, Int8Weight) and bits == 8:
                rows = with_row_scales(tensor.values.numpy(), tensor.scale.numpy())
            elif isinstance(tensor, GroupedRows):
                rows = tensor
            else:
                floats = tensor.dequantized(torch.float32) if isinstance(tensor, Int8Weight) else tensor
                rows = quantize_rows(floats.float().numpy(), bits)
            parts.append(rows.take(part.order.index.numpy()) if part.order else rows)
        return join_rows(parts)

    def _stored_or_grouped(self, name: str, bits: Bits) -> Iterator[Tensor | Int8Weight | GroupedRows]:
        columns = self.shapes[name][1]
        for part in self._layout[name]:
            rows = self.checkpoint.grouped(part.name)
            if rows is None or rows.bits > bits:
                yield self._tensor(part.name, (part.rows, columns))
            else:
                self._check_shape(part.name, rows.values.shape, (part.rows, columns))
                yield rows

    def stored_bytes(self) -> int:
        """The size of all weights as they are stored; raises as a look-up does."""
        return sum(part.nbytes for name in self.shapes for part in self._stored(name))

    def _check_names(self) -> None:
        wanted = {part.name for parts in self._layout.values() for part in parts}
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

    def _stored(self, name: str) -> list[Tensor | Int8Weight]:
        """The parts of a weight as they are stored, memory-mapped."""
        columns = self.shapes[name][1:]
        return [self._tensor(part.name, (part.rows, *columns)) for part in self._layout[name]]

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Tensor | Int8Weight:
        tensor = self.checkpoint[name]
        self._check_shape(name, tuple(tensor.shape), shape)
        if tensor.dtype == torch.int8 and self._quantized:
            return Int8Weight(tensor, self._scale(name, shape[0]))
        if not tensor.is_floating_point():
            raise UnsupportedModel(f"{self.checkpoint.path}: tensor {name!r} has dtype {tensor.dtype}")
        return tensor

    def _check_shape(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if found != wanted:
            raise CorruptCheckpoint(
                f"{self.checkpoint.path}: tensor {name!r} has shape {found}, config.json asks for {wanted}"
            )

    def _scale(self, name: str, rows: int) -> Tensor:
        """The scales of a tensor in int8, (rows,), fp32."""
        scale = self.checkpoint.get(f"{name}.scale")
        if scale is None:
            raise CorruptCheckpoint(f"{self.checkpoint.path} lacks tensor '{name}.scale': download it again")
        if tuple(scale.shape) != (rows,) or not scale.is_floating_point():
            raise CorruptCheckpoint(
                f"{self.checkpoint.path}: tensor '{name}.scale' has shape {tuple(scale.shape)} and dtype "
                f"{scale.dtype}; a float for each of {rows} rows is needed"
            )
        return scale.float()

    def _assembled(self, name: str, tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """A weight from the tensors of its parts, whose rows are copied directly to their places.

        A single tensor in order is not copied if it has the wanted device and dtype.
        """
        parts = self._layout[name]
        device = self._device if isinstance(self._device, torch.device) else self._device[module_of(name)]
        if len(parts) == 1 and parts[0].order is None:
            return tensors[0].to(device, dtype).contiguous()
        rows = sum(part.rows for part in parts)
        weight = torch.empty((rows, *tensors[0].shape[1:]), dtype=dtype, device=device)
        for part, tensor, target in zip(
            parts, tensors, torch.split(weight, [part.rows for part in parts]), strict=True
        ):
            if part.order:
                part.order.copy(tensor, target)
            else:
                target.copy_(tensor)
        return weight


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
