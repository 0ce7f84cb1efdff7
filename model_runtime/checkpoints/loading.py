"""Loads a checkpoint as a decoder that is ready to run.

Each weight is read once and put where it stays: where dtype, order and device fit, the mapped file itself is
the weight, otherwise it is copied directly to its final place. So memory never holds two copies, also when
matrices are quantised while loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from model_runtime.api import CorruptCheckpoint, LoadProgress, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.device_map import DeviceMap
from model_runtime.checkpoints.families import Family, family_of
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.weights import CPU, Checkpoint, Weights, is_quantized
from model_runtime.decoding import Decoder, DecoderConfig, Int8Weight, MatrixFormat, Weight
from model_runtime.native import AnyDecoder, Bits, NativeDecoder, NativeWeight, native_problem, pack

Placement: TypeAlias = Callable[[DecoderConfig, torch.dtype, bool], DeviceMap]
"""From the configuration, the weights' dtype, and whether matrices are int8, to the device of each module."""

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""The files of a tokenizer, in either form."""

POSITIONS = "positions.weight"

ENDS = ("embedding.weight", "head.weight")
"""In 4 bits they would cost more of the quality than their size is worth."""

BITS: Mapping[MatrixFormat, Bits] = {"int8": 8, "int4": 4}

QuantizedFormat = Literal["int8", "int4"]


@dataclass(frozen=True)
class LoadedModel:
    """A decoder, and what else a checkpoint contains.

    Attributes:
        name: of the folder or file.
        family: its `model_type`.
        decoder: ready to run.
        tokenizer: the folder that has one, or the content of a tokenizer.json.
        tokenizer_settings: of a tokenizer_config.json, where no file has them.
        stop_ids: the tokens that end a text.
        quantized: the format of its matrices, or of most of them; None for floats.
    """

    name: str
    family: str
    decoder: AnyDecoder
    tokenizer: Path | dict[str, Any]
    tokenizer_settings: dict[str, Any] | None
    stop_ids: frozenset[int]
    quantized: QuantizedFormat | None


def load(
    path: Path,
    *,
    device: torch.device | Placement,
    dtype: torch.dtype,
    matrices: MatrixFormat = "float",
    progress: LoadProgress | None = None,
) -> LoadedModel:
    """Load the checkpoint at `path`, a folder or a GGUF file.

    Args:
        path: of the checkpoint.
        device: where to put the weights, or a function that decides it for each module.
        dtype: of the weights, except quantised matrices.
        matrices: their format.
        progress: receives the share done.

    Raises:
        ModelNotFound: there is no checkpoint.
        UnsupportedModel: the family, or a feature of the model, is not supported.
        CorruptCheckpoint: it is damaged or incomplete; the message names file and tensor.
    """
    checkpoint = open_checkpoint(path)
    family, config = family_and_config(checkpoint)
    tokenizer, tokenizer_settings = _tokenizer(checkpoint)
    int8 = matrices == "int8" or (matrices == "stored" and is_quantized(checkpoint.config))
    placement = device if isinstance(device, torch.device) else device(config, dtype, int8)
    weights = Weights(checkpoint, family, config, dtype=dtype, device=placement)
    decoder: AnyDecoder
    if placement == CPU and matrices in BITS:
        decoder, quantized = _read_grouped(weights, BITS[matrices], dtype, progress)
    else:
        if matrices == "int4":
            raise UnsupportedModel("int4 is for the CPU: use --quantize int8, or --device cpu")
        read = _read(weights, matrices, progress)
        decoder = Decoder(config, read)
        quantized = "int8" if any(map(_computes_int8, read.values())) else None
    return LoadedModel(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        family=family.model_type,
        decoder=decoder,
        tokenizer=tokenizer,
        tokenizer_settings=tokenizer_settings,
        stop_ids=_stop_ids(checkpoint, config),
        quantized=quantized,
    )


def open_checkpoint(path: Path) -> Checkpoint:
    """Open the folder or GGUF file at `path`: reads its headers, and tensors on look-up.

    Raises:
        BackendError: as `load`.
    """
    if path.suffix.lower() != ".gguf":
        return CheckpointFolder(path)
    from model_runtime.checkpoints.gguf.files import GgufFile  # imports a library that only GGUF needs

    return GgufFile(path)


def family_and_config(checkpoint: Checkpoint) -> tuple[Family, DecoderConfig]:
    """The family of a checkpoint, and the configuration of its decoder.

    Raises:
        UnsupportedModel: the family, or a feature of the model, is not supported.
    """
    family = family_of(checkpoint.config)
    return family, decoder_config_of(checkpoint, family)


def decoder_config_of(checkpoint: Checkpoint, family: Family) -> DecoderConfig:
    """The configuration of a checkpoint's decoder; raises as `family_and_config`."""
    try:
        return family.decoder_config(checkpoint.config)
    except (ValueError, UnsupportedModel) as error:
        where = checkpoint.path / "config.json" if checkpoint.path.is_dir() else checkpoint.path
        raise UnsupportedModel(f"{where}: {error}") from error


def _tokenizer(checkpoint: Checkpoint) -> tuple[Path | dict[str, Any], dict[str, Any] | None]:
    """The tokenizer and its settings, as in `LoadedModel`; checked before weights are read."""
    if not isinstance(checkpoint, CheckpointFolder):
        settings = checkpoint.read_optional("tokenizer_config.json")
        return checkpoint.tokenizer, {**settings, "bos_token_id": checkpoint.config["bos_token_id"]}
    folder = checkpoint.path
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise ModelNotFound(f"{folder} has no tokenizer.json: copy it from where the checkpoint came from")
    return folder, None


def _read(weights: Weights, matrices: MatrixFormat, progress: LoadProgress | None) -> dict[str, Weight]:
    read: dict[str, Weight] = {}
    for name in _reported(weights, progress):
        int8 = matrices == "int8" or (matrices == "stored" and weights.is_int8(name))
        read[name] = weights.int8(name) if int8 and _is_matrix(weights, name) else weights[name]
    return read


def _read_grouped(
    weights: Weights, bits: Bits, dtype: torch.dtype, progress: LoadProgress | None
) -> tuple[AnyDecoder, QuantizedFormat | None]:
    """A decoder of matrices in groups, which are restored to floats where there is no native engine."""
    native = dtype == torch.float32 and native_problem() is None
    read: dict[str, NativeWeight] = {}
    restored: dict[str, Weight] = {}
    elements = {4: 0, 8: 0}
    for name in _reported(weights, progress):
        if not _is_matrix(weights, name):
            restored[name] = weights[name]
            read[name] = weights[name].float().numpy().copy()  # not a view that keeps a file mapped
            continue
        rows = weights.grouped(name, 8 if name in ENDS else bits)
        elements[rows.bits] += rows.values.size
        if native:
            read[name] = pack(rows)
        else:
            restored[name] = torch.from_numpy(rows.dequantized()).to(dtype)
    if not native:
        return Decoder(weights.config, restored), None
    return NativeDecoder(weights.config, read), "int4" if elements[4] > elements[8] else "int8"


def _reported(weights: Weights, progress: LoadProgress | None) -> Iterator[str]:
    """The weights' names, one by one, and the share that is read."""
    total, done = sum(map(prod, weights.shapes.values())), 0
    for name, shape in weights.shapes.items():
        yield name
        done += prod(shape)
        if progress is not None:
            progress(done / total, "reading weights")


def _is_matrix(weights: Weights, name: str) -> bool:
    """Whether a weight can be quantised: learned positions, a table too, stay as they are."""
    return len(weights.shapes[name]) == 2 and name != POSITIONS


def _computes_int8(weight: Weight) -> bool:
    """Whether products are computed in int8: a CPU dequantises the weight."""
    return isinstance(weight, Int8Weight) and weight.device.type != CPU.type


def _stop_ids(checkpoint: Checkpoint, config: DecoderConfig) -> frozenset[int]:
    """The end-of-text ids of generation_config.json and config.json."""
    found: set[int] = set()
    for settings in (checkpoint.read_optional("generation_config.json"), checkpoint.config):
        ids = settings.get("eos_token_id")
        for token in ids if isinstance(ids, list) else [ids]:
            if token is None:
                continue
            if type(token) is not int or not 0 <= token < config.vocab_size:
                raise CorruptCheckpoint(
                    f"{checkpoint.path}: eos_token_id {token!r} is outside the vocabulary of "
                    f"{config.vocab_size}"
                )
            found.add(token)
    return frozenset(found)
