"""Llama: Code Llama, DeepSeek-Coder, CodeGen2.5, Granite 3B/8B, SmolLM2 and their fine-tunes.

RMSNorm, a gated MLP, rotary positions on the halves of whole heads, grouped key heads. Qwen2 and StarCoder2
have the same tensor names. Source: transformers `models/llama`; Llama 2 (arXiv:2307.09288), Code Llama
(arXiv:2308.12950), DeepSeek-Coder (arXiv:2401.14196).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model_runtime.checkpoints.families import table
from model_runtime.checkpoints.families.family import Family, Layout
from model_runtime.checkpoints.families.rotary import read_context, read_rotary
from model_runtime.checkpoints.families.settings import (
    NEUTRAL,
    activation,
    head_dim,
    refuse_unless,
    setting,
    size,
)
from model_runtime.decoding import Biased, DecoderConfig

NAMES: table.Names = {
    "embedding": ("model.embed_tokens",),
    "blocks": ("model.layers",),
    "attention_norm": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "mlp_norm": ("post_attention_layernorm",),
    "mlp_up": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp_down": ("mlp.down_proj",),
    "final_norm": ("model.norm",),
    "head": ("lm_head",),
}

IGNORED = re.compile(r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq|lm_head\.weight")
"""Frequencies that old releases saved with the weights, and the second name of a tied head."""


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder's configuration from a Llama config.json, with transformers' defaults."""
    biases: set[Biased] = set()
    if setting(config, "attention_bias", bool, False):
        biases |= {"qkv", "attention_out"}
    if setting(config, "mlp_bias", bool, False):
        biases |= {"mlp"}
    return gated_decoder_config(config, frozenset(biases), windowed=True)


def gated_decoder_config(
    config: Mapping[str, Any], biases: frozenset[Biased], *, windowed: bool
) -> DecoderConfig:
    """The configuration of a decoder with RMSNorm and a gated MLP; `windowed` as in `read_context`."""
    return DecoderConfig(
        **shape(config, windowed=windowed),
        norm="rmsnorm",
        norm_eps=setting(config, "rms_norm_eps", float, 1e-6),
        mlp="gated",
        activation=activation(config, "hidden_act", "silu"),
        biases=biases,
        tied_head=setting(config, "tie_word_embeddings", bool, False),
    )


def shape(config: Mapping[str, Any], *, windowed: bool) -> dict[str, Any]:
    """The part of the configuration that Llama, Qwen2 and StarCoder2 have in common.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: a setting is not supported.
    """
    refuse_unless(config, NEUTRAL)
    heads = size(config, "num_attention_heads")
    given = config.get("head_dim") is not None
    each = size(config, "head_dim") if given else head_dim(config, "hidden_size", "num_attention_heads")
    return {
        "vocab_size": size(config, "vocab_size"),
        "context_length": read_context(config, windowed=windowed),
        "width": size(config, "hidden_size"),
        "layers": size(config, "num_hidden_layers"),
        "heads": heads,
        "kv_heads": size(config, "num_key_value_heads", heads),
        "head_dim": each,
        "mlp_width": size(config, "intermediate_size"),
        "rotary": read_rotary(config, each),
        "block": "sequential",
        "attention_scale": each**-0.5,
    }


def layout(config: DecoderConfig) -> Layout:
    """Which tensors each weight is made of."""
    return table.layout(config, NAMES)


FAMILY = Family(model_type="llama", decoder_config=decoder_config, layout=layout, ignored=IGNORED)
