"""Contradicting figures are refused, and each setting changes the weights that a decoder needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model_runtime.decoding import DecoderConfig, Rotary, weight_shapes

CONFIG = DecoderConfig(
    vocab_size=50,
    context_length=64,
    width=32,
    layers=1,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=40,
    rotary=Rotary(6, 1e4),
    block="sequential",
    norm="rmsnorm",
    norm_eps=1e-5,
    mlp="gated",
    activation="silu",
    attention_scale=0.5,
    biases=frozenset(),
    tied_head=True,
)

NEVER_BIASED = {
    "embedding.weight": (50, 32),
    "blocks.0.attention_norm.weight": (32,),
    "blocks.0.mlp_norm.weight": (32,),
    "blocks.0.qkv.weight": (24 + 12 + 12, 32),
    "blocks.0.attention_out.weight": (32, 24),
    "blocks.0.mlp_up.weight": (80, 32),
    "blocks.0.mlp_down.weight": (32, 40),
    "final_norm.weight": (32,),
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"kv_heads": 3}, "4 query heads cannot share 3 key heads"),
        ({"head_dim": 4}, "the rotary part of a head is 6, all of it 4"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(CONFIG, **changes)


@pytest.mark.parametrize("figures", [(0, 1e4), (5, 1e4), (4, 0.0), (4, float("nan")), (4, 1e4, 0.0)])
def test_figures_that_make_no_rotation_are_refused(figures: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="rotary"):
        Rotary(*figures)


@pytest.mark.parametrize(
    ("changes", "more", "less"),
    [
        ({}, {}, ()),
        ({"rotary": None}, {"positions.weight": (64, 32)}, ()),
        ({"tied_head": False}, {"head.weight": (50, 32)}, ()),
        ({"mlp": "plain"}, {"blocks.0.mlp_up.weight": (40, 32)}, ()),
        ({"block": "parallel"}, {}, ("blocks.0.mlp_norm.weight",)),
        (
            {"norm": "layernorm"},
            {
                f"{name}.bias": (32,)
                for name in ("blocks.0.attention_norm", "blocks.0.mlp_norm", "final_norm")
            },
            (),
        ),
        ({"biases": frozenset({"qkv"})}, {"blocks.0.qkv.bias": (48,)}, ()),
        ({"biases": frozenset({"attention_out"})}, {"blocks.0.attention_out.bias": (32,)}, ()),
        (
            {"biases": frozenset({"mlp"})},
            {"blocks.0.mlp_up.bias": (80,), "blocks.0.mlp_down.bias": (32,)},
            (),
        ),
        ({"biases": frozenset({"head"})}, {"head.bias": (50,)}, ()),
    ],
)
def test_the_weights_are_those_that_the_config_asks_for(
    changes: dict[str, Any], more: dict[str, tuple[int, ...]], less: tuple[str, ...]
) -> None:
    expected = {name: shape for name, shape in NEVER_BIASED.items() if name not in less} | more
    assert weight_shapes(replace(CONFIG, **changes)) == expected
