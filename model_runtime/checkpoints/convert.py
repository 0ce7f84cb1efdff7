"""Writes checkpoints in another layout, for ``fimble convert``: as transformers saves them, or as GPT-J.

A source is read like for inference, and its weights are exported one by one, so that memory holds one at a
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_runtime.api import LoadProgress, UnsupportedModel
from model_runtime.checkpoints.families import Family, codegen, gptj
from model_runtime.checkpoints.families.settings import setting
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.loading import decoder_config_of, family_and_config, open_checkpoint
from model_runtime.checkpoints.weights import Checkpoint, Weights
from model_runtime.checkpoints.writer import (
    MAX_SHARD_BYTES,
    CheckpointWriter,
    check_apart,
    checkpoint_writer,
)
from model_runtime.decoding import DecoderConfig

if TYPE_CHECKING:
    from torch import Tensor

DEQUANTIZED_BYTES = 4  # of an element: what is stored in int8 or a GGUF type becomes fp32

CODEGEN_ONLY = frozenset({"auto_map", "head_dim", "n_ctx"})
"""Settings without a meaning for GPT-J; `auto_map` would make it run CodeGen's code."""


def convert_to_hf(
    source: Path,
    target: Path,
    *,
    progress: LoadProgress | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write the checkpoint `source` into the folder `target` as transformers would save it.

    Floats are kept bit by bit; int8 weights and GGUF's quantised types become the fp32 numbers that they
    represent.

    Raises:
        InvalidRequest: source and target are the same.
        ModelNotFound, UnsupportedModel, CorruptCheckpoint: as `loading.load`.
        CannotWrite: `target` is not empty, not writable, or the disk is full.
    """
    check_apart(source, target)
    checkpoint = open_checkpoint(source)
    family, config = family_and_config(checkpoint)
    settings = {key: value for key, value in checkpoint.config.items() if key != "quantization_config"}
    weights = Weights(checkpoint, family, config)
    _convert(weights, family, target, settings, progress, max_shard_bytes)


def convert_to_gptj(
    source: Path,
    target: Path,
    *,
    mp_num: int | None = None,
    progress: LoadProgress | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write the CodeGen checkpoint in the folder `source` into the folder `target` as a GPT-J checkpoint.

    The two architectures compute the same; GPT-J merely keeps the rows of q, k and v apart, which CodeGen
    fuses in `mp_num` groups (None for the number that the config implies). So the weights are a permutation
    of the source's, in its dtype.

    Source: transformers `models/codegen`, `models/gptj`.

    Raises:
        UnsupportedModel: it is no CodeGen checkpoint, or one that GPT-J cannot express.
        InvalidRequest, ModelNotFound, CorruptCheckpoint, CannotWrite: as `convert_to_hf`.
    """
    check_apart(source, target)
    checkpoint = open_checkpoint(source)
    if checkpoint.config.get("model_type") != "codegen":
        raise UnsupportedModel(
            f"{source} has model_type {checkpoint.config.get('model_type')!r}: "
            "only 'codegen' is converted to gptj"
        )
    mp_num = codegen.default_mp_num(checkpoint.config) if mp_num is None else mp_num
    family = codegen.family(mp_num)
    config = decoder_config_of(checkpoint, family)
    weights, settings = Weights(checkpoint, family, config), _gptj_settings(checkpoint.config, config)
    _convert(weights, gptj.FAMILY, target, settings, progress, max_shard_bytes)


def _gptj_settings(codegen_settings: Mapping[str, Any], config: DecoderConfig) -> dict[str, Any]:
    """GPT-J's config.json, in which CodeGen's defaults are written out."""
    assert config.rotary
    dropped = CODEGEN_ONLY | {"quantization_config"}
    return {key: value for key, value in codegen_settings.items() if key not in dropped} | {
        "model_type": "gptj",
        "architectures": ["GPTJForCausalLM"],
        "n_inner": config.mlp_width,
        "rotary_dim": config.rotary.dim,
        "activation_function": setting(codegen_settings, "activation_function", str, "gelu_new"),
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": config.tied_head,
    }


def _convert(
    weights: Weights,
    family: Family,
    target: Path,
    settings: Mapping[str, Any],
    progress: LoadProgress | None,
    max_shard_bytes: int,
) -> None:
    """Write weights as a checkpoint of `family` in the folder `target`, with `settings` as config.json."""
    from model_runtime.checkpoints.torch_weights import ReopenedWeights, TorchWeights

    checkpoint = weights.checkpoint
    readable: Mapping[str, Tensor] = TorchWeights(weights)
    total = sum(map(prod, weights.shapes.values()))
    expected_bytes = total * DEQUANTIZED_BYTES
    if isinstance(checkpoint, CheckpointFolder):
        readable = ReopenedWeights(weights)
        if "quantization_config" not in checkpoint.config:
            # This also checks every tensor before anything is written.
            expected_bytes = weights.stored_bytes()
    with checkpoint_writer(target, expected_bytes=expected_bytes, max_shard_bytes=max_shard_bytes) as writer:
        done = 0
        for name, tensor in family.export(weights.config, readable):
            writer.add(name, tensor)
            done += tensor.numel()
            if progress is not None:
                progress(done / total, "converting weights")
        writer.write_json("config.json", settings)
        _write_tokenizer(checkpoint, writer)


def _write_tokenizer(checkpoint: Checkpoint, writer: CheckpointWriter) -> None:
    """The tokenizer, with generation settings and licence: a folder's files, or made from a GGUF file."""
    if isinstance(checkpoint, CheckpointFolder):
        writer.carry(checkpoint.path)
        return
    settings = checkpoint.read_optional("tokenizer_config.json")
    writer.write_json("tokenizer.json", checkpoint.tokenizer)
    writer.write_json("tokenizer_config.json", {**settings, "tokenizer_class": "PreTrainedTokenizerFast"})
