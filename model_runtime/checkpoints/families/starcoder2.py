"""StarCoder2: Llama's attention and names, with LayerNorm, a plain MLP and biases.

Source: transformers `models/starcoder2`; StarCoder2 (arXiv:2402.19173). Its attention slides over the last
4096 of 16384 tokens, so its context is 4096 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_runtime.checkpoints.families import llama, table
from model_runtime.checkpoints.families.family import Family, Layout
from model_runtime.checkpoints.families.settings import activation, setting
from model_runtime.decoding import Biased, DecoderConfig

NAMES: table.Names = {**llama.NAMES, "mlp_up": ("mlp.c_fc",), "mlp_down": ("mlp.c_proj",)}

ALL: frozenset[Biased] = frozenset({"qkv", "attention_out", "mlp"})


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder's configuration from a StarCoder2 config.json, with transformers' defaults."""
    return DecoderConfig(
        **llama.shape(config, windowed=True),
        norm="layernorm",
        norm_eps=setting(config, "norm_epsilon", float, 1e-5),
        mlp="plain",
        activation=activation(config, "hidden_act", "gelu_pytorch_tanh"),
        biases=ALL if setting(config, "use_bias", bool, True) else frozenset(),
        tied_head=setting(config, "tie_word_embeddings", bool, True),
    )


def layout(config: DecoderConfig) -> Layout:
    """Which tensors each weight is made of."""
    return table.layout(config, NAMES)


FAMILY = Family(model_type="starcoder2", decoder_config=decoder_config, layout=layout, ignored=llama.IGNORED)
