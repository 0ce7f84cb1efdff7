"""Random decoders for the native engine, and torch's decoder of the same weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from model_runtime.checkpoints import AnyDecoder
from model_runtime.decoding import DecoderConfig, Logits, Rotary, as_logits, weight_shapes
from model_runtime.native import (
    Bits,
    GroupedMatrix,
    NativeDecoder,
    NativeWeight,
    pack,
    quantize_rows,
)
from model_runtime.torch_decoder import Decoder

SMALL = DecoderConfig(
    vocab_size=100,
    context_length=320,
    width=48,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=12,
    mlp_width=80,
    rotary=Rotary(12, 1e4),
    block="sequential",
    norm="rmsnorm",
    norm_eps=1e-5,
    mlp="gated",
    activation="silu",
    attention_scale=12**-0.5,
    biases=frozenset(),
    tied_head=False,
)


def small(**facts: Any) -> DecoderConfig:
    """`SMALL`, with other facts; scores are scaled as usual."""
    config = replace(SMALL, **facts)
    return config if "attention_scale" in facts else replace(config, attention_scale=config.head_dim**-0.5)


def random_weights(config: DecoderConfig, bits: Bits = 8, seed: int = 0) -> dict[str, NativeWeight]:
    """Weights of which every part changes the logits."""
    random = np.random.default_rng(seed)

    def weight(name: str, shape: tuple[int, ...]) -> NativeWeight:
        if len(shape) == 1:
            return random.normal(float("norm.weight" in name), 0.2, shape).astype(np.float32)
        scale = 1.0 if name in ("embedding.weight", "positions.weight") else 1.5 * shape[1] ** -0.5
        values = random.normal(0, scale, shape).astype(np.float32)
        return values if name == "positions.weight" else pack(quantize_rows(values, bits))

    return {name: weight(name, shape) for name, shape in weight_shapes(config).items()}


def restored(config: DecoderConfig, weights: Mapping[str, NativeWeight]) -> Decoder:
    """Torch's decoder of the weights, restored to floats."""
    return Decoder(
        config,
        {
            name: torch.from_numpy(weight.dequantized() if isinstance(weight, GroupedMatrix) else weight)
            for name, weight in weights.items()
        },
    )


def open_small(threads: int = 1, seed: int = 0, kernels: str = "", **facts: Any) -> NativeDecoder:
    """A native decoder with random weights."""
    config = small(**facts)
    decoder = NativeDecoder(config, random_weights(config, seed=seed), kernels=kernels)
    decoder.set_threads(threads)
    return decoder


def some_tokens(config: DecoderConfig, count: int, seed: int = 0) -> list[int]:
    tokens: list[int] = np.random.default_rng(seed).integers(0, config.vocab_size, count).tolist()
    return tokens


def all_logits(decoder: AnyDecoder, tokens: Sequence[int], widths: Sequence[int] = ()) -> Logits:
    """(tokens, vocab), computed so many tokens at a time, in turns; all at once by default."""
    cache, found, turn = decoder.new_cache(), [], 0
    while cache.length < len(tokens):
        width = widths[turn % len(widths)] if widths else len(tokens)
        found.append(as_logits(decoder.forward(tokens[cache.length : cache.length + width], cache, "all")))
        turn += 1
    return np.concatenate(found)


def error(found: Logits, expected: Logits) -> float:
    """The root mean square of the difference, relative to what is expected."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
