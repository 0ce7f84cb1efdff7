"""Makes real, small GGUF files for tests: random transformers models, written as llama.cpp's converter does.

Names come from the `gguf` package's own tables and the row order from llama.cpp's formula, so that reading
back is held against the format and not against itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from torch import Tensor
from transformers import (
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

F32, F16, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vocab_size": 96,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.15,
}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM, SIZES),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, SIZES),
    "starcoder2": (Starcoder2Config, Starcoder2ForCausalLM, SIZES),
    "starcoder": (
        GPTBigCodeConfig,
        GPTBigCodeForCausalLM,
        {
            "n_embd": 64,
            "n_head": 4,
            "n_layer": 2,
            "n_positions": 128,
            "vocab_size": 96,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "initializer_range": 0.3,
        },
    ),
}
"""transformers' classes and sizes by the architecture's name in GGUF."""


def make_model(architecture: str, **config: Any) -> Any:
    """A random model in fp32, of which every weight, biases and norms too, differs from all others."""
    config_class, model_class, sizes = MODELS[architecture]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = model_class(config_class(**{**sizes, **config}))
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(mean=float("bias" not in name), std=0.1)
    return model.train(False)


def weights_of(model: Any) -> dict[str, Tensor]:
    """The weights that a checkpoint of the model holds: a tied head is none of them."""
    weights = dict(model.state_dict())
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    return weights


def write_model(
    path: Path,
    architecture: str,
    model: Any,
    kind: GGMLQuantizationType = F32,
    *,
    metadata: Mapping[str, Any] | None = None,
    tensors_per_file: int = 0,
) -> Path:
    """Write a model, its matrices as `kind`; `metadata` is added, or replaces what would be written."""
    config = model.config
    writer = GGUFWriter(path, architecture, split_max_tensors=tensors_per_file)
    described = {**describe(architecture, config), **(metadata or {})}
    add_metadata(writer, described)
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture),
        described[f"{architecture}.block_count"],
    )
    for theirs, weight in weights_of(model).items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        if architecture == "llama" and ".attn_q." in name:
            weight = interleave(weight, config.num_attention_heads)
        if architecture == "llama" and ".attn_k." in name:
            weight = interleave(weight, config.num_key_value_heads)
        add_tensor(writer, name, weight, kind if weight.ndim > 1 else F32)
    finish(writer)
    return path


def describe(architecture: str, config: Any) -> dict[str, Any]:
    """What llama.cpp's converter writes about a model."""
    facts: dict[str, Any] = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "attention.head_count": config.num_attention_heads,
    }
    if architecture == "starcoder":
        facts["feed_forward_length"] = 4 * config.hidden_size
        facts["attention.head_count_kv"] = 1
        facts["attention.layer_norm_epsilon"] = config.layer_norm_epsilon
    else:
        facts["feed_forward_length"] = config.intermediate_size
        facts["attention.head_count_kv"] = config.num_key_value_heads
        facts["rope.freq_base"] = float(config.rope_parameters["rope_theta"])
        if architecture == "starcoder2":
            facts["attention.layer_norm_epsilon"] = config.norm_epsilon
        else:
            facts["attention.layer_norm_rms_epsilon"] = config.rms_norm_eps
    if architecture == "llama":
        facts["vocab_size"] = config.vocab_size
        facts["rope.dimension_count"] = config.head_dim
        facts["attention.key_length"] = config.head_dim
        facts["attention.value_length"] = config.head_dim
    ids = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id}
    return {
        **{f"{architecture}.{key}": value for key, value in facts.items()},
        **{f"tokenizer.ggml.{key}": value for key, value in ids.items()},
    }


def write_tensors(
    path: Path, tensors: Mapping[str, tuple[Any, GGMLQuantizationType]], **metadata: Any
) -> Path:
    """A llama file of the given tensors alone; arrays of bytes are taken as they are."""
    writer = GGUFWriter(path, "llama")
    described = describe("llama", LlamaConfig(**SIZES))
    add_metadata(writer, {**described, **{f"llama.{key}": value for key, value in metadata.items()}})
    for name, (weight, kind) in tensors.items():
        add_tensor(writer, name, weight, kind)
    finish(writer)
    return path


def add_metadata(writer: GGUFWriter, metadata: Mapping[str, Any]) -> None:
    for key, value in metadata.items():
        if value is None:
            continue
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def add_tensor(writer: GGUFWriter, name: str, weight: Any, kind: GGMLQuantizationType) -> None:
    if isinstance(weight, Tensor):
        weight = gguf.quants.quantize(weight.numpy(), kind)
    writer.add_tensor(name, np.ascontiguousarray(weight), raw_dtype=kind)


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleave(weight: Tensor, heads: int) -> Tensor:
    """The row order of llama.cpp's `LlamaModel.permute`."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, rows, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape).contiguous()
