"""A checkpoint folder to a decoder: facts from its config, each weight put once where it is going to stay.

Tensors come one at a time out of the mapped files. Where dtype, order and device already fit, the mapping
itself is the weight; otherwise it is copied straight to its final place. So memory never holds two copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, LoadProgress, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.families import Family, Source, family_of
from model_runtime.checkpoints.reading import CheckpointFolder, some
from model_runtime.decoding import Decoder, DecoderConfig, weight_shapes

INT8 = "fimble-int8"
"""Our `quant_method`: a weight `X` in int8 with a scale for each output row in `X.scale`."""


@dataclass(frozen=True)
class LoadedModel:
    """A decoder with what belongs to it; `stop_ids` are the tokens that end a text."""

    name: str
    family: str
    decoder: Decoder
    tokenizer: Path
    stop_ids: frozenset[int]


def load(
    path: Path, *, device: torch.device, dtype: torch.dtype, progress: LoadProgress | None = None
) -> LoadedModel:
    """Open the checkpoint in the folder `path`, with weights of `dtype` on `device`.

    Raises:
        ModelNotFound: there is no checkpoint there.
        UnsupportedModel: it is of a family, or uses a feature, that the runtime does not have.
        CorruptCheckpoint: it is damaged or incomplete; the message names file and tensor.
    """
    folder = CheckpointFolder(path)
    family = family_of(folder.config)
    quantized = _quantized(folder.config)
    try:
        config = family.facts(folder.config)
    except ValueError as error:
        raise UnsupportedModel(f"{path / 'config.json'}: {error}") from error
    if not (path / "tokenizer.json").is_file():
        raise ModelNotFound(f"{path} has no tokenizer.json: copy it from where the checkpoint came from")
    weights = _Weights(folder, quantized, device, dtype).read(family, config, progress)
    return LoadedModel(
        name=path.resolve().name,
        family=family.model_type,
        decoder=Decoder(config, weights),
        tokenizer=path / "tokenizer.json",
        stop_ids=_stop_ids(folder, config),
    )


@dataclass(frozen=True)
class _Weights:
    folder: CheckpointFolder
    quantized: bool
    device: torch.device
    dtype: torch.dtype

    def read(self, family: Family, config: DecoderConfig, progress: LoadProgress | None) -> dict[str, Tensor]:
        """All of a decoder's weights, by our names."""
        sources, shapes = family.sources(config), weight_shapes(config)
        self._check_names(family, sources)
        weights: dict[str, Tensor] = {}
        total, done = sum(map(_elements, shapes.values())), 0
        for name, shape in shapes.items():
            weights[name] = self._weight(sources[name], shape)
            done += _elements(shape)
            if progress is not None:
                progress(done / total, "reading weights")
        return weights

    def _check_names(self, family: Family, sources: Mapping[str, Source]) -> None:
        wanted = {source.name for source in sources.values()}
        missing = wanted - self.folder.keys()
        if missing:
            raise CorruptCheckpoint(f"{self.folder.path} lacks tensor {some(missing)}: download it again")
        scales = {f"{name}.scale" for name in wanted} if self.quantized else set()
        unknown = {
            name for name in self.folder.keys() - wanted - scales if not family.ignored.fullmatch(name)
        }
        if unknown:
            raise CorruptCheckpoint(
                f"{self.folder.path} has unexpected tensor {some(unknown)}: is its config.json the right one?"
            )

    def _weight(self, source: Source, shape: tuple[int, ...]) -> Tensor:
        tensor = self.folder[source.name]
        if tuple(tensor.shape) != shape:
            raise CorruptCheckpoint(
                f"{self.folder.path}: tensor {source.name!r} has shape {tuple(tensor.shape)}, "
                f"config.json asks for {shape}"
            )
        if tensor.dtype == torch.int8 and self.quantized:
            tensor = tensor.float().mul_(self._scale(source.name, shape[0]))
        elif not tensor.is_floating_point():
            raise UnsupportedModel(f"{self.folder.path}: tensor {source.name!r} has dtype {tensor.dtype}")
        return self._place(source.relay(tensor) if source.relay else tensor, shape)

    def _scale(self, name: str, rows: int) -> Tensor:
        """(rows, 1), fp32"""
        scale = self.folder.get(f"{name}.scale")
        if scale is None:
            raise CorruptCheckpoint(f"{self.folder.path} lacks tensor '{name}.scale': download it again")
        if tuple(scale.shape) != (rows,) or not scale.is_floating_point():
            raise CorruptCheckpoint(
                f"{self.folder.path}: tensor '{name}.scale' has shape {tuple(scale.shape)} and dtype "
                f"{scale.dtype}; a float for each of {rows} rows is needed"
            )
        return scale.float().unsqueeze(1)

    def _place(self, view: Tensor, shape: tuple[int, ...]) -> Tensor:
        if view.dtype == self.dtype and view.device == self.device and view.is_contiguous():
            return view.view(shape)
        placed = torch.empty(shape, dtype=self.dtype, device=self.device)
        placed.view(view.shape).copy_(view)
        return placed


def _elements(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _quantized(config: Mapping[str, Any]) -> bool:
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


def _stop_ids(folder: CheckpointFolder, config: DecoderConfig) -> frozenset[int]:
    """The end-of-text ids of generation_config.json, which outranks config.json, and of the latter."""
    found: set[int] = set()
    for settings in (folder.read_optional("generation_config.json"), folder.config):
        ids = settings.get("eos_token_id")
        for token in ids if isinstance(ids, list) else [ids]:
            if token is None:
                continue
            if type(token) is not int or not 0 <= token < config.vocab_size:
                raise CorruptCheckpoint(
                    f"{folder.path}: eos_token_id {token!r} is outside the vocabulary of {config.vocab_size}"
                )
            found.add(token)
    return frozenset(found)
