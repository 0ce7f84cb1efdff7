"""A checkpoint's weights under our names and in our layout: the files' rows, put to their places.

reading ▶ **weights** ▶ {loading, plain}. What a family calls its tensors, and how it orders their rows, ends
here; so does how they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families import Family, Source
from model_runtime.checkpoints.placement import Plan, module_of
from model_runtime.checkpoints.reading import CheckpointFolder, some
from model_runtime.decoding import DecoderConfig, Int8Weight, quantize, weight_shapes

if TYPE_CHECKING:
    from model_runtime.checkpoints.gguf.files import GgufFile

Shape = tuple[int, ...]
Checkpoint: TypeAlias = "CheckpointFolder | GgufFile"

CPU = torch.device("cpu")

INT8 = "fimble-int8"
"""Our `quant_method`: a weight `X` in int8 with a scale for each output row in `X.scale`."""


class Weights(Mapping[str, Tensor]):
    """A checkpoint's weights under our names and in our layout, each read when it is asked for.

    Args:
        folder: the checkpoint, a folder or a file that is read like one.
        family: what its tensors are called.
        config: its facts.
        dtype: of the weights; None leaves each as it is in the files.
        device: where to put them, all or by module.

    Raises:
        CorruptCheckpoint: tensors are missing or unexpected; or, when asked for, one has another shape.
        UnsupportedModel: the checkpoint is quantised in a way that is not read; or, when asked for, a tensor
            holds no floats.
    """

    def __init__(
        self,
        folder: Checkpoint,
        family: Family,
        config: DecoderConfig,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | Plan = CPU,
    ) -> None:
        self.shapes = weight_shapes(config)
        self._sources = family.sources(config)
        self._folder, self._dtype = folder, dtype
        self._devices = {
            name: device if isinstance(device, torch.device) else device[module_of(name)]
            for name in self.shapes
        }
        self._quantized = is_quantized(folder.config)
        self._check_names(family)

    def __getitem__(self, name: str) -> Tensor:
        source, shape, device = self._sources[name], self.shapes[name], self._devices[name]
        parts = [self._tensor(part, shape) for part in source.parts]
        dtype = self._dtype or reduce(torch.promote_types, (part.dtype for part in parts))
        return _gathered(source, parts, device, dtype)

    def is_int8(self, name: str) -> bool:
        """Whether a weight is int8 in the files, all of it."""
        return self._quantized and all(
            self._folder[part.name].dtype == torch.int8 for part in self._sources[name].parts
        )

    def int8(self, name: str) -> Int8Weight:
        """A matrix in int8, as it is in the files or quantised now; raises as a look-up does."""
        source, shape, device = self._sources[name], self.shapes[name], self._devices[name]
        parts = [self._int8(part, shape) for part in source.parts]
        return Int8Weight(
            _gathered(source, [part.values for part in parts], device, torch.int8),
            _gathered(source, [part.scale for part in parts], device, torch.float32),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def _check_names(self, family: Family) -> None:
        wanted = {part.name for source in self._sources.values() for part in source.parts}
        missing = wanted - self._folder.keys()
        if missing:
            raise CorruptCheckpoint(f"{self._folder.path} lacks tensor {some(missing)}: download it again")
        scales = {f"{name}.scale" for name in wanted} if self._quantized else set()
        unknown = {
            name for name in self._folder.keys() - wanted - scales if not family.ignored.fullmatch(name)
        }
        if unknown:
            path = self._folder.path
            raise CorruptCheckpoint(
                f"{path} has unexpected tensor {some(unknown)}: is its config.json the right one?"
            )

    def _tensor(self, part: Source, shape: Shape) -> Tensor:
        """One tensor of the files in floating point: a mapping of it where it is."""
        found = self._found(part, shape)
        return found.dequantized(torch.float32) if isinstance(found, Int8Weight) else found

    def _int8(self, part: Source, shape: Shape) -> Int8Weight:
        """One tensor of the files in int8: a mapping of it where it is."""
        found = self._found(part, shape)
        return found if isinstance(found, Int8Weight) else quantize(found)

    def _found(self, part: Source, shape: Shape) -> Tensor | Int8Weight:
        """One tensor as it is in the files, mapped."""
        tensor, shape = self._folder[part.name], (part.rows or shape[0], *shape[1:])
        if tuple(tensor.shape) != shape:
            raise CorruptCheckpoint(
                f"{self._folder.path}: tensor {part.name!r} has shape {tuple(tensor.shape)}, "
                f"config.json asks for {shape}"
            )
        if tensor.dtype == torch.int8 and self._quantized:
            return Int8Weight(tensor, self._scale(part.name, shape[0]))
        if not tensor.is_floating_point():
            raise UnsupportedModel(f"{self._folder.path}: tensor {part.name!r} has dtype {tensor.dtype}")
        return tensor

    def _scale(self, name: str, rows: int) -> Tensor:
        """(rows,), fp32"""
        scale = self._folder.get(f"{name}.scale")
        if scale is None:
            raise CorruptCheckpoint(f"{self._folder.path} lacks tensor '{name}.scale': download it again")
        if tuple(scale.shape) != (rows,) or not scale.is_floating_point():
            raise CorruptCheckpoint(
                f"{self._folder.path}: tensor '{name}.scale' has shape {tuple(scale.shape)} and dtype "
                f"{scale.dtype}; a float for each of {rows} rows is needed"
            )
        return scale.float()


def _gathered(source: Source, parts: list[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A weight put together: the rows of its parts are copied straight to their places.

    One that is only part, and in order, stays where it is if device and dtype are the ones wanted.
    """
    if not source.relay and not source.below:
        return parts[0].to(device, dtype).contiguous()
    rows, start = sum(map(len, parts)), 0
    placed = torch.empty((rows, *parts[0].shape[1:]), dtype=dtype, device=device)
    for part, tensor in zip(source.parts, parts, strict=True):
        into = placed[start : start + len(tensor)]
        start += len(tensor)
        if part.relay:
            part.relay.copy(tensor, into)
        else:
            into.copy_(tensor)
    return placed


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with this config.json is in our int8 format.

    Raises:
        UnsupportedModel: it is quantised in another way.
    """
    quantization = config.get("quantization_config")
    if quantization is None:
        return False
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
    if method != INT8:
        raise UnsupportedModel(
            f"quantization_config: quant_method {method!r} is not supported; "
            f"use {INT8!r} or a checkpoint that is not quantised"
        )
    return True
