"""GPTBigCode: SantaCoder, StarCoder(Base), tiny_starcoder, Granite 20B/34B code.

GPT-2's sequential block with learned positions and one key head for all query heads, or one for each.
Source: transformers `models/gpt_bigcode`; SantaCoder (arXiv:2301.03988), StarCoder (arXiv:2305.06161).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from model_runtime.checkpoints.families import table
from model_runtime.checkpoints.families.family import Family, Layout, RowOrder
from model_runtime.checkpoints.families.settings import (
    NEUTRAL,
    activation,
    head_dim,
    refuse_unless,
    setting,
    size,
)
from model_runtime.decoding import DecoderConfig

NAMES: table.Names = {
    "embedding": ("transformer.wte",),
    "positions": ("transformer.wpe",),
    "blocks": ("transformer.h",),
    "attention_norm": ("ln_1",),
    "qkv": ("attn.c_attn",),
    "attention_out": ("attn.c_proj",),
    "mlp_norm": ("ln_2",),
    "mlp_up": ("mlp.c_fc",),
    "mlp_down": ("mlp.c_proj",),
    "final_norm": ("transformer.ln_f",),
    "head": ("lm_head",),
}


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder's configuration from a GPTBigCode config.json, with transformers' defaults.

    `attention_softmax_in_fp32` and `scale_attention_softmax_in_fp32` ask for at most the precision that the
    decoder's attention always has (sums and softmax in fp32), so neither value changes anything.
    """
    refuse_unless(config, {**NEUTRAL, "scale_attn_by_inverse_layer_idx": (False, None)})
    width, heads = size(config, "n_embd"), size(config, "n_head")
    each = head_dim(config, "n_embd", "n_head")
    return DecoderConfig(
        vocab_size=size(config, "vocab_size"),
        context_length=size(config, "n_positions"),
        width=width,
        layers=size(config, "n_layer"),
        heads=heads,
        kv_heads=1 if setting(config, "multi_query", bool, True) else heads,
        head_dim=each,
        mlp_width=size(config, "n_inner", 4 * width),
        rotary=None,
        block="sequential",
        norm="layernorm",
        norm_eps=setting(config, "layer_norm_epsilon", float, 1e-5),
        mlp="plain",
        activation=activation(config, "activation_function", "gelu_pytorch_tanh"),
        attention_scale=each**-0.5 if setting(config, "scale_attn_weights", bool, True) else 1.0,
        biases=frozenset({"qkv", "attention_out", "mlp"}),
        tied_head=setting(config, "tie_word_embeddings", bool, True),
    )


def layout(config: DecoderConfig) -> Layout:
    """Which tensors each weight is made of."""
    # With one key head the rows are [Q | k | v], as in the decoder; otherwise they are grouped by head.
    if config.kv_heads == 1:
        return table.layout(config, NAMES)
    return table.layout(config, NAMES, {"qkv": (_gathered_heads(config.heads, config.head_dim),)})


def _gathered_heads(heads: int, head_dim: int) -> RowOrder:
    """From [q | k | v] of each head to [Q | K | V] of all heads."""
    rows = np.arange(3 * heads * head_dim).reshape(heads, 3, head_dim)
    return RowOrder(rows.swapaxes(0, 1).flatten())


FAMILY = Family(
    model_type="gpt_bigcode",
    decoder_config=decoder_config,
    layout=layout,
    # Causal masks that old releases saved with the weights, and the second name of a tied head.
    ignored=re.compile(r"transformer\.(h\.\d+\.attn\.)?(bias|masked_bias)|lm_head\.weight"),
)
