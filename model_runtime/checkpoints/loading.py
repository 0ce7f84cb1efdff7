"""Loads a checkpoint as a decoder that is ready to run.

Each weight is read once and put where it stays: where dtype, order and device fit, the mapped file itself is
the weight, otherwise it is copied directly to its final place. So memory never holds two copies, also when
matrices are quantised while loading.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from model_runtime.api import CorruptCheckpoint, Dtype, LoadProgress, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.families import Family, family_of
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.reading import BITS, Placement, QuantizedFormat, grouped, is_matrix, reported
from model_runtime.checkpoints.weights import Checkpoint, Weights
from model_runtime.decoding import DecoderConfig, MatrixFormat
from model_runtime.native import Bits, NativeDecoder, NativeWeight, native_problem, pack

if TYPE_CHECKING:
    from model_runtime.torch_decoder import Decoder

AnyDecoder: TypeAlias = "Decoder | NativeDecoder"
"""The native one where matrices are quantised on a CPU; torch's everywhere else."""

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""The files of a tokenizer, in either form."""


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
    device: str | Placement,
    dtype: Dtype,
    matrices: MatrixFormat = "float",
    progress: LoadProgress | None = None,
) -> LoadedModel:
    """Load the checkpoint at `path`, a folder or a GGUF file.

    Args:
        path: of the checkpoint.
        device: where to put the weights, or a function that decides it for each module.
        dtype: of the weights, except quantised matrices; not "auto".
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
    weights = Weights(checkpoint, family, config)
    decoder: AnyDecoder
    quantized: QuantizedFormat | None
    if (device, dtype) == ("cpu", "fp32") and matrices in BITS and native_problem() is None:
        decoder, quantized = _open_native(weights, BITS[matrices], progress)
    else:
        from model_runtime.checkpoints.torch_opening import open_torch

        decoder, quantized = open_torch(weights, device, dtype, matrices, progress)
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


def _open_native(
    weights: Weights, bits: Bits, progress: LoadProgress | None
) -> tuple[NativeDecoder, QuantizedFormat]:
    read: dict[str, NativeWeight] = {}
    elements = {4: 0, 8: 0}
    for name in reported(weights, progress):
        if is_matrix(weights, name):
            rows = grouped(weights, name, bits)
            elements[rows.bits] += rows.values.size
            read[name] = pack(rows)
        else:
            read[name] = weights.floats(name)
    return NativeDecoder(weights.config, read), "int4" if elements[4] > elements[8] else "int8"


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
