"""Rotary positions as configs and tensors have them, made the one kind that the decoder has.

transformers 5 writes `rope_parameters`; checkpoints from before have `rope_theta` and `rope_scaling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families.family import RowOrder
from model_runtime.checkpoints.families.settings import refuse_unless, setting, size
from model_runtime.decoding import Rotary

THETA = 10000.0
"""The base where a config names none, and the only one where it cannot."""


def read_rotary(config: Mapping[str, Any], head_dim: int) -> Rotary:
    """The rotation of heads that are turned as a whole; linear scaling is the only one there is.

    As in transformers, `rope_scaling` outranks `rope_parameters`, which outranks `rope_theta`.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: it is scaled in another way, or differently for different layers.
    """
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(key) or {}
    if not isinstance(rope, dict):
        raise CorruptCheckpoint(f"config.json: {key} is {rope!r}, which is no object")
    nested = [name for name, value in rope.items() if isinstance(value, dict)]
    if nested:
        raise UnsupportedModel(f"{key} that differs between layers ({', '.join(nested)}) is not supported")
    for settings in (rope, config):
        refuse_unless(settings, {"partial_rotary_factor": (1, None)})
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear"):
        raise UnsupportedModel(f"{key} of type {kind!r} is not supported; supported: 'default', 'linear'")
    theta = setting(rope if rope.get("rope_theta") is not None else config, "rope_theta", float, THETA)
    factor = setting(rope, "factor", float, 0.0) if kind == "linear" else 1.0
    for name, value in (("rope_theta", theta), (f"{key}'s factor", factor)):
        if not 0 < value < float("inf"):
            raise CorruptCheckpoint(f"config.json: {name} is {value!r}; it must be greater than 0")
    return Rotary(head_dim, theta, factor)


def read_context(config: Mapping[str, Any], *, windowed: bool) -> int:
    """How many tokens may follow each other before something would be computed differently.

    Our attention sees every token. Where the model's sees only a window of the last ones, the two agree as
    long as all there is fits into the window, so the context ends there.

    Args:
        config: config.json.
        windowed: whether `sliding_window` applies to any layer.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: a layer's attention is of a kind that is neither full nor sliding.
    """
    kinds = setting(config, "layer_types", list, []) if config.get("layer_types") is not None else []
    for kind in kinds:
        if kind not in ("full_attention", "sliding_attention"):
            raise UnsupportedModel(f"layer_types with {kind!r} is not supported")
    context = size(config, "max_position_embeddings")
    windowed = windowed or "sliding_attention" in kinds
    return min(context, size(config, "sliding_window", context)) if windowed else context


def deinterleaved(heads: int, head_dim: int, rotary_dim: int) -> RowOrder:
    """The order that turns pairs of neighbouring rows into pairs of halves, in the first rows of each head.

    Scores stay what they are: queries and keys are permuted alike. (heads * head_dim,)
    """
    head = torch.arange(head_dim)
    turned, rest = head[:rotary_dim], head[rotary_dim:]
    order = torch.cat((turned[::2], turned[1::2], rest))
    return RowOrder((torch.arange(heads)[:, None] * head_dim + order).flatten())
