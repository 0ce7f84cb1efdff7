"""Reads settings from config.json; a value that is senseless or not supported is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.decoding import Activation

T = TypeVar("T")

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
    # Scaled or capped numbers: Granite, MiniCPM, Gemma 2, Cohere.
    "attention_multiplier": (None,),
    "embedding_multiplier": (1, None),
    "residual_multiplier": (1, None),
    "logits_scaling": (1, None),
    "logit_scale": (1, None),
    "scale_emb": (1, None),
    "scale_depth": (None,),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "query_pre_attn_scalar": (None,),
    "clip_qkv": (None,),
    # Other positions, or none: Falcon, Baichuan, SmolLM3, Llama 4.
    "alibi": (False, None),
    "no_rope_layers": ([], None),
    "no_rope_layer_interval": (None,),
    "attention_chunk_size": (None,),
    # Other blocks: Falcon, OLMo, Qwen3, mixtures of experts.
    "parallel_attn": (False, None),
    "qk_norm": (False, None),
    "use_qk_norm": (False, None),
    "qk_layernorm": (False, None),
    "num_experts": (0, 1, None),
    "num_local_experts": (0, 1, None),
    # Computed in slices, which rounds differently.
    "pretraining_tp": (1, None),
}
"""Settings that change what a model computes and that no family here supports, with their neutral values.

Most belong to derived architectures that keep the original `model_type`: a runtime that ignored these
settings would load such a model and generate nonsense.
"""


def setting(config: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
    """The value of `key`, or the family's default if it is missing.

    Raises:
        CorruptCheckpoint: the value has another type.
    """
    value = config.get(key, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise CorruptCheckpoint(f"config.json: {key} is {value!r}, which is no {kind.__name__}")
    return value


def size(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """The positive integer `key`, or `default` if it is missing or null.

    Raises:
        CorruptCheckpoint: there is no value, or it is no positive integer.
    """
    value = config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or value < 1:
        raise CorruptCheckpoint(f"config.json: {key} is {value!r}; a positive integer is needed")
    return value


def activation(config: Mapping[str, Any], key: str, default: str) -> Activation:
    """The activation named by `key`.

    Raises:
        CorruptCheckpoint: the value is no name.
        UnsupportedModel: the decoder does not have this activation.
    """
    name = setting(config, key, str, default)
    if name not in ACTIVATIONS:
        raise UnsupportedModel(f"{key} {name!r} is not supported; supported: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def head_dim(config: Mapping[str, Any], width: str, heads: str) -> int:
    """The elements of each head: the value of `width` divided by that of `heads`.

    Raises:
        CorruptCheckpoint: one of them is missing or no positive integer.
        UnsupportedModel: there is a remainder.
    """
    share, rest = divmod(size(config, width), size(config, heads))
    if rest:
        raise UnsupportedModel(
            f"{width} {config[width]} does not divide into {config[heads]} heads ({heads})"
        )
    return share


def refuse_unless(config: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse settings that are present with other than these values.

    Raises:
        UnsupportedModel: one has another value.
    """
    for key, values in neutral.items():
        if key in config and config[key] not in values:
            raise UnsupportedModel(f"{key} {config[key]!r} is not supported")
