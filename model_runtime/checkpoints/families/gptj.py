"""GPT-J: a parallel block, and rotary positions on interleaved pairs in the first part of each head.

Source: transformers `models/gptj`; Wang and Komatsuzaki, github.com/kingoflolz/mesh-transformer-jax (2021).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families import table
from model_runtime.checkpoints.families.family import Family, Layout
from model_runtime.checkpoints.families.rotary import THETA, deinterleaved
from model_runtime.checkpoints.families.settings import (
    NEUTRAL,
    activation,
    head_dim,
    refuse_unless,
    setting,
    size,
)
from model_runtime.decoding import DecoderConfig, Rotary

NAMES: table.Names = {
    "embedding": ("transformer.wte",),
    "blocks": ("transformer.h",),
    "attention_norm": ("ln_1",),
    "qkv": ("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    "attention_out": ("attn.out_proj",),
    "mlp_up": ("mlp.fc_in",),
    "mlp_down": ("mlp.fc_out",),
    "final_norm": ("transformer.ln_f",),
    "head": ("lm_head",),
}

BUFFERS = re.compile(r"transformer\.h\.\d+\.attn\.(causal_mask|masked_bias|bias|embed_positions)")
"""Buffers that old releases of transformers saved with the weights."""

IGNORED = re.compile(rf"{BUFFERS.pattern}|lm_head\.weight")
"""The same, and the second name of a tied head."""


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder's configuration from a GPT-J config.json, with transformers' defaults."""
    refuse_unless(config, {**NEUTRAL, "scale_attn_weights": (True,), "rotary": (True,)})
    width = size(config, "n_embd")
    each = head_dim(config, "n_embd", "n_head")
    return DecoderConfig(
        vocab_size=size(config, "vocab_size"),
        context_length=size(config, "n_positions"),
        width=width,
        layers=size(config, "n_layer"),
        heads=size(config, "n_head"),
        kv_heads=size(config, "n_head"),
        head_dim=each,
        mlp_width=size(config, "n_inner", 4 * width),
        rotary=Rotary(rotary_dim(config, each), THETA),
        block="parallel",
        norm="layernorm",
        norm_eps=setting(config, "layer_norm_epsilon", float, 1e-5),
        mlp="plain",
        activation=activation(config, "activation_function", "gelu_new"),
        attention_scale=each**-0.5,
        biases=frozenset({"mlp", "head"}),
        tied_head=setting(config, "tie_word_embeddings", bool, False),
    )


def rotary_dim(config: Mapping[str, Any], head_dim: int) -> int:
    """The number of rotated elements of each head; all of them if the setting is null.

    Raises:
        CorruptCheckpoint: the setting is no number.
        UnsupportedModel: a head of this size cannot have it.
    """
    dim = head_dim if config.get("rotary_dim", 64) is None else setting(config, "rotary_dim", int, 64)
    if not 0 < dim <= head_dim or dim % 2:
        raise UnsupportedModel(f"rotary_dim {dim} is no even number from 2 to the head's {head_dim}")
    return dim


def layout(config: DecoderConfig) -> Layout:
    """Which tensors each weight is made of."""
    assert config.rotary
    halves = deinterleaved(config.heads, config.head_dim, config.rotary.dim)
    return table.layout(config, NAMES, {"qkv": (halves, halves, None)})


FAMILY = Family(model_type="gptj", decoder_config=decoder_config, layout=layout, ignored=IGNORED)
