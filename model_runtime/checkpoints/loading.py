"""A checkpoint folder to a decoder: facts from its config, each weight put once where it is going to stay.

Tensors come one at a time out of the mapped files. Where dtype, order and device already fit, the mapping
itself is the weight; otherwise it is copied straight to its final place. So memory never holds two copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, LoadProgress, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.families import Family, Source, family_of
from model_runtime.checkpoints.placement import Plan, module_of
from model_runtime.checkpoints.reading import CheckpointFolder, some
from model_runtime.decoding import Decoder, DecoderConfig, weight_shapes

CPU = torch.device("cpu")

if TYPE_CHECKING:
    from model_runtime.checkpoints.gguf_files import GgufFile

Shape = tuple[int, ...]
Planner: TypeAlias = Callable[[DecoderConfig, torch.dtype], Plan]
Checkpoint: TypeAlias = "CheckpointFolder | GgufFile"

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""What a tokenizer may consist of."""

INT8 = "fimble-int8"
"""Our `quant_method`: a weight `X` in int8 with a scale for each output row in `X.scale`."""


@dataclass(frozen=True)
class LoadedModel:
    """A decoder with what belongs to it.

    `tokenizer` is the folder that has one, or the content of a tokenizer.json, with the
    `tokenizer_settings` that a tokenizer_config.json would have; `stop_ids` are the tokens that end a text.
    """

    name: str
    family: str
    decoder: Decoder
    tokenizer: Path | dict[str, Any]
    tokenizer_settings: dict[str, Any] | None
    stop_ids: frozenset[int]


def load(
    path: Path, *, device: torch.device | Planner, dtype: torch.dtype, progress: LoadProgress | None = None
) -> LoadedModel:
    """Open the checkpoint at `path`, a folder or a GGUF file, with weights of `dtype`.

    They are put on `device`; or where the plan puts them that it makes once the facts are read.

    Raises:
        ModelNotFound: there is no checkpoint there.
        UnsupportedModel: it is of a family, or uses a feature, that the runtime does not have.
        CorruptCheckpoint: it is damaged or incomplete; the message names file and tensor.
    """
    checkpoint = open_checkpoint(path)
    family, config = facts_of(checkpoint)
    tokenizer, tokenizer_settings = _tokenizer(checkpoint)
    place = device if isinstance(device, torch.device) else device(config, dtype)
    weights = Weights(checkpoint, family, config, dtype=dtype, device=place)
    return LoadedModel(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        family=family.model_type,
        decoder=Decoder(config, _read(weights, progress)),
        tokenizer=tokenizer,
        tokenizer_settings=tokenizer_settings,
        stop_ids=_stop_ids(checkpoint, config),
    )


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`, its headers read and its tensors to be looked up.

    Raises:
        BackendError: as `load`.
    """
    if path.suffix.lower() != ".gguf":
        return CheckpointFolder(path)
    from model_runtime.checkpoints.gguf_files import GgufFile  # its library is for those who have one

    return GgufFile(path)


def facts_of(checkpoint: Checkpoint) -> tuple[Family, DecoderConfig]:
    """The family of a checkpoint, and its config as facts.

    Raises:
        UnsupportedModel: of a family, or with a feature, that the runtime does not have.
    """
    family = family_of(checkpoint.config)
    try:
        return family, family.facts(checkpoint.config)
    except (ValueError, UnsupportedModel) as error:
        where = checkpoint.path / "config.json" if checkpoint.path.is_dir() else checkpoint.path
        raise UnsupportedModel(f"{where}: {error}") from error


def _tokenizer(checkpoint: Checkpoint) -> tuple[Path | dict[str, Any], dict[str, Any] | None]:
    """Where the tokenizer is, and its settings where no file has them; asked before weights are read."""
    if not isinstance(checkpoint, CheckpointFolder):
        settings = checkpoint.read_optional("tokenizer_config.json")
        return checkpoint.tokenizer, {**settings, "bos_token_id": checkpoint.config["bos_token_id"]}
    folder = checkpoint.path
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise ModelNotFound(f"{folder} has no tokenizer.json: copy it from where the checkpoint came from")
    return folder, None


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
        self._quantized = _quantized(folder.config)
        self._check_names(family)

    def __getitem__(self, name: str) -> Tensor:
        source, shape, device = self._sources[name], self.shapes[name], self._devices[name]
        if source.relay or source.below:
            return self._gathered(source, shape, device)
        tensor = self._tensor(source, shape)
        return tensor.to(device, self._dtype or tensor.dtype).contiguous()

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def _gathered(self, source: Source, shape: Shape, device: torch.device) -> Tensor:
        """The weight put together: each part's rows are copied straight to their places."""
        dtypes = (self._tensor(part, shape).dtype for part in source.parts)
        dtype, start = self._dtype or reduce(torch.promote_types, dtypes), 0
        placed = torch.empty(shape, dtype=dtype, device=device)
        for part in source.parts:
            tensor = self._tensor(part, shape)
            rows = placed[start : start + len(tensor)]
            start += len(tensor)
            if part.relay:
                part.relay.copy(tensor, rows)
            else:
                rows.copy_(tensor)
        return placed

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
        """One tensor of the files: a mapping of it where it holds floats."""
        tensor, shape = self._folder[part.name], (part.rows or shape[0], *shape[1:])
        if tuple(tensor.shape) != shape:
            raise CorruptCheckpoint(
                f"{self._folder.path}: tensor {part.name!r} has shape {tuple(tensor.shape)}, "
                f"config.json asks for {shape}"
            )
        if tensor.dtype == torch.int8 and self._quantized:
            return tensor.float().mul_(self._scale(part.name, shape[0]))
        if not tensor.is_floating_point():
            raise UnsupportedModel(f"{self._folder.path}: tensor {part.name!r} has dtype {tensor.dtype}")
        return tensor

    def _scale(self, name: str, rows: int) -> Tensor:
        """(rows, 1), fp32"""
        scale = self._folder.get(f"{name}.scale")
        if scale is None:
            raise CorruptCheckpoint(f"{self._folder.path} lacks tensor '{name}.scale': download it again")
        if tuple(scale.shape) != (rows,) or not scale.is_floating_point():
            raise CorruptCheckpoint(
                f"{self._folder.path}: tensor '{name}.scale' has shape {tuple(scale.shape)} and dtype "
                f"{scale.dtype}; a float for each of {rows} rows is needed"
            )
        return scale.float().unsqueeze(1)


def _read(weights: Weights, progress: LoadProgress | None) -> dict[str, Tensor]:
    """All of the weights."""
    read: dict[str, Tensor] = {}
    total, done = sum(map(math.prod, weights.shapes.values())), 0
    for name, shape in weights.shapes.items():
        read[name] = weights[name]
        done += math.prod(shape)
        if progress is not None:
            progress(done / total, "reading weights")
    return read


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


def _stop_ids(folder: Checkpoint, config: DecoderConfig) -> frozenset[int]:
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
