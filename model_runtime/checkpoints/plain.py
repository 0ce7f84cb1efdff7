"""Any checkpoint that we read as a plain one of its own family: `fimble convert SRC DST --to hf`.

loading.Weights ▶ **plain** ▶ writing. What transformers, vLLM and others load: safetensors under the family's
own names, nothing quantised, a config.json, the tokenizer. The source may be a folder, ours in int8 too, or a
GGUF file.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from model_runtime.api import LoadProgress
from model_runtime.checkpoints.loading import facts_of, open_checkpoint
from model_runtime.checkpoints.reading import CheckpointFolder
from model_runtime.checkpoints.weights import Checkpoint, Weights
from model_runtime.checkpoints.writing import (
    MAX_SHARD_BYTES,
    CheckpointWriter,
    check_apart,
    checkpoint_writer,
)

LARGEST_ELEMENT = 4  # bytes; what is stored in fewer takes fewer, but needs no more room than this


def convert_to_hf(
    source: Path,
    target: Path,
    *,
    progress: LoadProgress | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write the checkpoint `source` into the folder `target` as transformers would have saved it.

    Floats stay as they are, bit by bit; int8 weights, and GGUF's quantised types, become the fp32 numbers
    that they stand for. Memory holds one weight at a time.

    Raises:
        InvalidRequest: source and target are the same.
        ModelNotFound, UnsupportedModel, CorruptCheckpoint: as `loading.load`.
        CannotWrite: `target` is taken, closed to us, or full.
    """
    check_apart(source, target)
    checkpoint = open_checkpoint(source)
    family, config = facts_of(checkpoint)
    weights = Weights(checkpoint, family, config)
    total = sum(map(prod, weights.shapes.values()))
    expected = total * LARGEST_ELEMENT if _is_quantized(checkpoint) else _bytes(checkpoint)
    with checkpoint_writer(target, expected_bytes=expected, max_shard_bytes=max_shard_bytes) as writer:
        done = 0
        for name, tensor in family.export(config, weights):
            writer.add(name, tensor)
            done += tensor.numel()
            if progress is not None:
                progress(done / total, "converting weights")
        _write_settings(checkpoint, writer)


def _write_settings(checkpoint: Checkpoint, writer: CheckpointWriter) -> None:
    """config.json and the tokenizer: carried along, or made from what a GGUF file says."""
    quantized = ("quantization_config",)
    writer.write_json("config.json", {k: v for k, v in checkpoint.config.items() if k not in quantized})
    if isinstance(checkpoint, CheckpointFolder):
        writer.carry(checkpoint.path)
    else:
        writer.write_json("tokenizer.json", checkpoint.tokenizer)
        writer.write_json("tokenizer_config.json", _tokenizer_settings(checkpoint))


def _tokenizer_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        **checkpoint.read_optional("tokenizer_config.json"),
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def _is_quantized(checkpoint: Checkpoint) -> bool:
    return "quantization_config" in checkpoint.config or not isinstance(checkpoint, CheckpointFolder)


def _bytes(checkpoint: Checkpoint) -> int:
    return sum(tensor.nbytes for tensor in checkpoint.values())  # mapped, so nothing is read
