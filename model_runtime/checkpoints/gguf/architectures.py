"""The supported architectures of GGUF files: tables from llama.cpp's names to transformers'.

To add one whose family is supported already, add its table and its line in `ARCHITECTURES`. Source:
llama.cpp's `convert_hf_to_gguf.py` and `gguf-py/gguf/tensor_mapping.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

BLOCK_TENSOR = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")


@dataclass(frozen=True)
class Architecture:
    """One `general.architecture`.

    Attributes:
        model_type: transformers' name.
        sizes: metadata keys of integers, with transformers' names.
        numbers: metadata keys of floats, with transformers' names.
        tensors: tensors outside of the blocks, with transformers' names.
        blocks: transformers' name of the blocks.
        parts: tensors in a block, with transformers' names.
        implied: settings that the architecture implies and transformers needs.
        flags: settings that say whether a tensor is present.
        interleaved: parts whose rows llama.cpp interleaves, with the setting for their number of heads.
        rotary: whether positions are rotary.
    """

    model_type: str
    sizes: Mapping[str, str]
    numbers: Mapping[str, str]
    tensors: Mapping[str, str]
    blocks: str
    parts: Mapping[str, str]
    implied: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict)
    interleaved: Mapping[str, str] = field(default_factory=dict)
    rotary: bool = True

    def rename(self, name: str) -> str:
        """transformers' name of a tensor; unknown ones keep their own."""
        stem, _, kind = name.rpartition(".")
        if stem in self.tensors:
            return f"{self.tensors[stem]}.{kind}"
        match = BLOCK_TENSOR.fullmatch(name)
        if match is None or match[2] not in self.parts:
            return name
        return f"{self.blocks}.{match[1]}.{self.parts[match[2]]}.{match[3]}"

    def interleaved_heads(self, name: str, config: Mapping[str, Any]) -> int | None:
        """The number of heads in a tensor with interleaved rows; None for others."""
        match = BLOCK_TENSOR.fullmatch(name)
        key = self.interleaved.get(match[2]) if match else None
        return None if key is None else config[key]


ROTARY_SIZES = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
}
ROTARY_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
ROTARY_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
}
GATED_MLP = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}

LLAMA = Architecture(
    model_type="llama",
    sizes=ROTARY_SIZES,
    numbers={"attention.layer_norm_rms_epsilon": "rms_norm_eps"},
    tensors=ROTARY_TENSORS,
    blocks="model.layers",
    parts={**ROTARY_PARTS, **GATED_MLP},
    implied={"hidden_act": "silu"},
    flags={"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_up.bias"},
    interleaved={"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"},
)

QWEN2 = replace(
    LLAMA,
    model_type="qwen2",
    implied={"hidden_act": "silu", "use_sliding_window": False},
    flags={},
    interleaved={},
)

STARCODER2 = Architecture(
    model_type="starcoder2",
    sizes=ROTARY_SIZES,
    numbers={"attention.layer_norm_epsilon": "norm_epsilon"},
    tensors=ROTARY_TENSORS,
    blocks="model.layers",
    parts={**ROTARY_PARTS, "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
    # Files do not record the sliding window that 3B and 7B were trained with. llama.cpp, too, attends to all
    # tokens, which is the same up to 4096 tokens.
    implied={"hidden_act": "gelu_pytorch_tanh", "use_bias": True, "sliding_window": None},
)

STARCODER = Architecture(
    model_type="gpt_bigcode",
    sizes={
        "context_length": "n_positions",
        "embedding_length": "n_embd",
        "feed_forward_length": "n_inner",
        "block_count": "n_layer",
        "attention.head_count": "n_head",
    },
    numbers={"attention.layer_norm_epsilon": "layer_norm_epsilon"},
    tensors={
        "token_embd": "transformer.wte",
        "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
    },
    blocks="transformer.h",
    parts={
        "attn_norm": "ln_1",
        "attn_qkv": "attn.c_attn",
        "attn_output": "attn.c_proj",
        "ffn_norm": "ln_2",
        "ffn_up": "mlp.c_fc",
        "ffn_down": "mlp.c_proj",
    },
    implied={"activation_function": "gelu_pytorch_tanh", "multi_query": True, "scale_attn_weights": True},
    rotary=False,
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "starcoder": STARCODER,
    "starcoder2": STARCODER2,
}
