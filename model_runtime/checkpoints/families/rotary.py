"""Reads rotary positions and context lengths from config.json, and the row order of interleaved heads.

transformers 5 writes `rope_parameters`; older checkpoints have `rope_theta` and `rope_scaling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families.family import RowOrder
from model_runtime.checkpoints.families.settings import refuse_unless, setting, size
from model_runtime.decoding import Rotary

THETA = 10000.0
"""The default base, and the only one of families without a setting for it."""


def read_rotary(config: Mapping[str, Any], head_dim: int) -> Rotary:
    """The rotation of whole heads, with linear scaling or none.

    As in transformers, `rope_scaling` takes precedence over `rope_parameters`, and that over `rope_theta`.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: another kind of scaling, or one that differs between layers.
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
    """The context length in tokens.

    The decoder's attention sees every token. A model with a sliding window computes the same as long as all
    tokens fit into the window, so the context ends there.

    Args:
        config: config.json.
        windowed: whether `sliding_window` applies to any layer.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: a layer's attention is neither full nor sliding.
    """
    kinds = setting(config, "layer_types", list, []) if config.get("layer_types") is not None else []
    for kind in kinds:
        if kind not in ("full_attention", "sliding_attention"):
            raise UnsupportedModel(f"layer_types with {kind!r} is not supported")
    context = size(config, "max_position_embeddings")
    windowed = windowed or "sliding_attention" in kinds
    return min(context, size(config, "sliding_window", context)) if windowed else context


def deinterleaved(heads: int, head_dim: int, rotary_dim: int) -> RowOrder:
    """The order that brings interleaved pairs into two halves, in the first `rotary_dim` rows of each head.

    Scores do not change, since queries and keys are permuted alike.
    """
    head = np.arange(head_dim)
    rotated, rest = head[:rotary_dim], head[rotary_dim:]
    order = np.concatenate((rotated[::2], rotated[1::2], rest))
    return RowOrder((np.arange(heads)[:, None] * head_dim + order).flatten())
