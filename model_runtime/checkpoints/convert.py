"""One family's checkpoint as another family's, exactly: `fimble convert SRC DST --to gptj`.

checkpoint folder ▶ **convert** ▶ writing: what can be known from config and headers is checked before
anything is written; then the tensors stream from one folder to the other, a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, LoadProgress, UnsupportedModel
from model_runtime.checkpoints.families.codegen import mp_num as usual_mp_num
from model_runtime.checkpoints.families.gptj import BUFFERS
from model_runtime.checkpoints.families.gptj import rotary_dim as read_rotary_dim
from model_runtime.checkpoints.families.settings import setting, size
from model_runtime.checkpoints.reading import CheckpointFolder, some
from model_runtime.checkpoints.writing import (
    MAX_SHARD_BYTES,
    CheckpointWriter,
    check_apart,
    checkpoint_writer,
)

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

CODEGEN_ONLY = frozenset({"auto_map", "head_dim", "n_ctx"})
"""Settings that GPT-J has no use for; `auto_map` would have it run CodeGen's code."""

Shapes = Mapping[str, tuple[int, ...]]


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
    fuses in `mp_num` groups, one for each of the cores it was trained on. So the weights are a permutation
    of the source's, in its dtype. None takes `mp_num` from the config: 4, or 8 for some of CodeGen2.

    Source: transformers `models/codegen`, `models/gptj`.

    Raises:
        InvalidRequest: source and target are the same.
        ModelNotFound: there is no checkpoint in `source`.
        UnsupportedModel: it is no CodeGen checkpoint, or one that GPT-J cannot express.
        CorruptCheckpoint: tensors are missing, unexpected or of another shape than the config says.
        CannotWrite: `target` is taken, closed to us, or full.
    """
    check_apart(source, target)
    folder = CheckpointFolder(source)
    config = _gptj_config(folder)
    mp_num = usual_mp_num(folder.config) if mp_num is None else mp_num
    if mp_num < 1 or config["n_head"] % mp_num:
        raise UnsupportedModel(
            f"{source}: n_head {config['n_head']} does not divide by mp_num {mp_num}: "
            "name the mp_num that the model was trained with"
        )
    blocks = _blocks(config)
    total = _check_tensors(folder, blocks, tied=config["tie_word_embeddings"])
    del folder
    with checkpoint_writer(target, expected_bytes=total, max_shard_bytes=max_shard_bytes) as writer:
        done = 0
        for block in blocks:
            for length in _copy_block(source, block, mp_num, writer):
                done += length
                if progress is not None:
                    progress(done / total, "converting weights")
        writer.write_json("config.json", config)
        writer.carry(source)


def _gptj_config(folder: CheckpointFolder) -> dict[str, Any]:
    """GPT-J's config.json; what the source leaves to CodeGen's defaults is written out."""
    config, path = folder.config, folder.path
    if config.get("model_type") != "codegen":
        raise UnsupportedModel(
            f"{path} has model_type {config.get('model_type')!r}: only 'codegen' is converted to gptj"
        )
    if config.get("quantization_config") is not None:
        raise UnsupportedModel(f"{path} is quantised: convert the checkpoint that it was made from")
    width, heads = size(config, "n_embd"), size(config, "n_head")
    head_dim, rest = divmod(width, heads)
    if rest or (config.get("head_dim") or head_dim) != head_dim:
        raise UnsupportedModel(f"{path}: heads of n_embd {width} / n_head {heads} elements are not supported")
    try:  # null means the whole head to CodeGen; GPT-J has to be told how much that is
        rotary_dim = read_rotary_dim(config, head_dim)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{path}: {error}") from error
    return {key: value for key, value in config.items() if key not in CODEGEN_ONLY} | {
        "model_type": "gptj",
        "architectures": ["GPTJForCausalLM"],
        "vocab_size": size(config, "vocab_size"),
        "n_positions": size(config, "n_positions"),
        "n_layer": size(config, "n_layer"),
        "n_inner": None if config.get("n_inner") is None else size(config, "n_inner"),
        "rotary_dim": rotary_dim,
        "activation_function": setting(config, "activation_function", str, "gelu_new"),
        "layer_norm_epsilon": setting(config, "layer_norm_epsilon", float, 1e-5),
        "tie_word_embeddings": setting(config, "tie_word_embeddings", bool, False),
    }


def _blocks(config: Mapping[str, Any]) -> Sequence[Shapes]:
    """CodeGen's tensors and their shapes, in the order they are computed with, by what belongs together."""
    width, vocab = config["n_embd"], config["vocab_size"]
    inner = config["n_inner"] or 4 * width
    block = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.qkv_proj.weight": (3 * width, width),
        "attn.out_proj.weight": (width, width),
        "mlp.fc_in.weight": (inner, width),
        "mlp.fc_in.bias": (inner,),
        "mlp.fc_out.weight": (width, inner),
        "mlp.fc_out.bias": (width,),
    }
    return [
        {"transformer.wte.weight": (vocab, width)},
        *({f"transformer.h.{n}.{k}": v for k, v in block.items()} for n in range(config["n_layer"])),
        {"transformer.ln_f.weight": (width,), "transformer.ln_f.bias": (width,)},
        {"lm_head.weight": (vocab, width), "lm_head.bias": (vocab,)},
    ]


def _check_tensors(folder: CheckpointFolder, blocks: Sequence[Shapes], *, tied: bool) -> int:
    """Hold the files' headers against what the config asks for; gives the tensors' bytes."""
    shapes = {name: shape for block in blocks for name, shape in block.items()}
    missing = shapes.keys() - folder.keys() - ({"lm_head.weight"} if tied else set())
    if missing:
        raise CorruptCheckpoint(f"{folder.path} lacks tensor {some(missing)}: download it again")
    unknown = {name for name in folder.keys() - shapes.keys() if not BUFFERS.fullmatch(name)}
    if unknown:
        raise CorruptCheckpoint(
            f"{folder.path} has unexpected tensor {some(unknown)}: is its config.json the right one?"
        )
    total = 0
    for name in shapes.keys() & folder.keys():
        tensor = folder[name]
        if tuple(tensor.shape) != shapes[name]:
            raise CorruptCheckpoint(
                f"{folder.path}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"config.json asks for {shapes[name]}"
            )
        if tensor.dtype not in FLOATS:
            raise UnsupportedModel(f"{folder.path}: tensor {name!r} has dtype {tensor.dtype}")
        total += tensor.nbytes
    return total


def _copy_block(source: Path, block: Shapes, mp_num: int, writer: CheckpointWriter) -> Iterator[int]:
    """Write one block's tensors; yields the bytes of each."""
    # Opened anew for each block: what was read of a mapped file counts as ours until it is unmapped.
    folder = CheckpointFolder(source)
    for name in block:
        tensor = folder.get(name)
        if tensor is None:  # the tied head
            continue
        for gptj_name, part in _relay(name, tensor, mp_num):
            writer.add(gptj_name, part)
            yield part.nbytes


def _relay(name: str, tensor: Tensor, mp_num: int) -> Iterator[tuple[str, Tensor]]:
    """A CodeGen tensor as GPT-J's: itself, but for the fused one."""
    if not name.endswith("attn.qkv_proj.weight"):
        yield name, tensor
        return
    groups = tensor.reshape(mp_num, 3, -1, tensor.shape[1])  # (mp_num, 3, width / mp_num, width)
    for n, part in enumerate(("q_proj", "v_proj", "k_proj")):  # in this order
        yield name.replace("qkv_proj", part), groups[:, n].flatten(0, 1)
