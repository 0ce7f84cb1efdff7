"""A checkpoint folder to a decoder: facts from its config, each weight put once where it is going to stay.

Tensors come one at a time out of the mapped files. Where dtype, order and device already fit, the mapping
itself is the weight; otherwise it is copied straight to its final place. So memory never holds two copies;
nor does it where matrices are to be int8, whether the files have them so or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from model_runtime.api import CorruptCheckpoint, LoadProgress, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.families import Family, family_of
from model_runtime.checkpoints.placement import Plan
from model_runtime.checkpoints.reading import CheckpointFolder
from model_runtime.checkpoints.weights import CPU, Checkpoint, Weights, is_quantized
from model_runtime.decoding import (
    Decoder,
    DecoderConfig,
    Int8Weight,
    MatrixFormat,
    PackedWeight,
    Weight,
    pack,
)

Planner: TypeAlias = Callable[[DecoderConfig, torch.dtype, bool], Plan]
"""Facts, the weights' dtype, and whether matrices are int8, to the device of each module."""

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""What a tokenizer may consist of."""

EMBEDDING = "embedding.weight"

ADDED = frozenset({"positions.weight"})
"""Two-dimensional, and no matrices: nothing is multiplied by them."""

SAMPLE_TOKENS = 16
"""So many settle how a model's activations are rounded."""


@dataclass(frozen=True)
class LoadedModel:
    """A decoder with what belongs to it.

    `tokenizer` is the folder that has one, or the content of a tokenizer.json, with the
    `tokenizer_settings` that a tokenizer_config.json would have; `stop_ids` are the tokens that end a text.
    `int8` says whether the decoder computes with matrices in int8.
    """

    name: str
    family: str
    decoder: Decoder
    tokenizer: Path | dict[str, Any]
    tokenizer_settings: dict[str, Any] | None
    stop_ids: frozenset[int]
    int8: bool


def load(
    path: Path,
    *,
    device: torch.device | Planner,
    dtype: torch.dtype,
    matrices: MatrixFormat = "float",
    progress: LoadProgress | None = None,
) -> LoadedModel:
    """Open the checkpoint at `path`, a folder or a GGUF file.

    Args:
        path: where it is.
        device: where the weights are put; or what makes a plan for them, once the facts are read.
        dtype: of the weights, but for matrices in int8.
        matrices: whether those are restored, or kept as they are stored, or all in int8.
        progress: is told how far it is.

    Raises:
        ModelNotFound: there is no checkpoint there.
        UnsupportedModel: it is of a family, or uses a feature, that the runtime does not have.
        CorruptCheckpoint: it is damaged or incomplete; the message names file and tensor.
    """
    checkpoint = open_checkpoint(path)
    family, config = facts_of(checkpoint)
    tokenizer, tokenizer_settings = _tokenizer(checkpoint)
    int8 = matrices == "int8" or (matrices == "stored" and is_quantized(checkpoint.config))
    place = device if isinstance(device, torch.device) else device(config, dtype, int8)
    weights = Weights(checkpoint, family, config, dtype=dtype, device=place)
    read = _read(weights, matrices, dtype, progress)
    decoder = Decoder(config, read)
    if any(isinstance(weight, PackedWeight) for weight in read.values()):
        _settle(decoder)
    return LoadedModel(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        family=family.model_type,
        decoder=decoder,
        tokenizer=tokenizer,
        tokenizer_settings=tokenizer_settings,
        stop_ids=_stop_ids(checkpoint, config),
        int8=any(map(_stays_int8, read.values())),
    )


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`, its headers read and its tensors to be looked up.

    Raises:
        BackendError: as `load`.
    """
    if path.suffix.lower() != ".gguf":
        return CheckpointFolder(path)
    from model_runtime.checkpoints.gguf.files import GgufFile  # its library is for those who have one

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


def _read(
    weights: Weights, matrices: MatrixFormat, dtype: torch.dtype, progress: LoadProgress | None
) -> dict[str, Weight]:
    """All of the weights."""
    read: dict[str, Weight] = {}
    total, done = sum(map(math.prod, weights.shapes.values())), 0
    for name, shape in weights.shapes.items():
        read[name] = _kept(weights, name, matrices, dtype)
        done += math.prod(shape)
        if progress is not None:
            progress(done / total, "reading weights")
    return read


def _kept(weights: Weights, name: str, matrices: MatrixFormat, dtype: torch.dtype) -> Weight:
    """A weight as the decoder is to have it."""
    is_matrix = len(weights.shapes[name]) == 2 and name not in ADDED
    if not is_matrix or matrices == "float" or (matrices == "stored" and not weights.is_int8(name)):
        return weights[name]
    weight = weights.int8(name)
    # Here, so that there are never two copies of all; the embedding's rows are looked up as they are.
    return weight if name == EMBEDDING else pack(weight, dtype)


def _stays_int8(weight: Weight) -> bool:
    """Whether products are made with int8: a CPU restores what there is no kernel for."""
    return isinstance(weight, PackedWeight) or (
        isinstance(weight, Int8Weight) and weight.device.type != CPU.type
    )


def _settle(decoder: Decoder) -> None:
    """Make the first pass, which settles how activations are rounded, with tokens from all the vocabulary."""
    size = decoder.config.vocab_size
    sample = range(0, size, max(1, size // SAMPLE_TOKENS))[: decoder.config.context_length]
    decoder.forward(sample, decoder.new_cache(len(sample)), "all")


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
