"""Decoders of many configurations with random weights, and a sequence of steps to compare them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model_runtime.decoding import DecoderConfig, Rotary, weight_shapes
from model_runtime.torch_decoder import Cache, Decoder, Int8Weight, Weight, quantize

LLAMA = DecoderConfig(
    vocab_size=96,
    context_length=640,
    width=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    mlp_width=64,
    rotary=Rotary(dim=8, theta=10000.0),
    block="sequential",
    norm="rmsnorm",
    norm_eps=1e-5,
    mlp="gated",
    activation="silu",
    attention_scale=8**-0.5,
    biases=frozenset(),
    tied_head=False,
)
CODEGEN = replace(
    LLAMA,
    kv_heads=4,
    rotary=Rotary(dim=4, theta=10000.0),
    block="parallel",
    norm="layernorm",
    mlp="plain",
    activation="gelu_tanh",
    biases=frozenset({"mlp", "head"}),
)
GPT_BIGCODE = replace(
    CODEGEN,
    kv_heads=1,
    rotary=None,
    block="sequential",
    activation="gelu",
    biases=frozenset({"qkv", "attention_out", "mlp"}),
    tied_head=True,
)
ODD = replace(GPT_BIGCODE, vocab_size=91, width=30, heads=3, head_dim=10, mlp_width=50, activation="relu")

CONFIGS = {
    "grouped heads, gated MLP": LLAMA,
    "a parallel block, partly turned": CODEGEN,
    "one key head, learned positions": GPT_BIGCODE,
    "odd sizes": ODD,
}

PIECES: tuple[tuple[list[int], int], ...] = (
    ([3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9], 0),
    ([32], 0),
    ([38, 46], 0),
    ([26, 43, 38], 2),
    ([32, 79, 50, 2], 0),
    ([88, 41, 9, 71, 6], 3),
    ([9, 3, 9, 9, 37, 5, 10], 6),
    ([58, 20, 9, 7, 49, 44, 59, 23], 0),
    ([1], 0),
)
"""The tokens of a step, and how many are taken back after it."""


def random_weights(
    config: DecoderConfig, *, int8: bool = False, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> dict[str, Weight]:
    """Weights that keep activations near 1, so that rounding does not swamp what is compared."""
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Weight] = {}
    for name, shape in weight_shapes(config).items():
        tensor = torch.randn(shape, generator=generator) / (shape[-1] ** 0.5 if len(shape) > 1 else 4)
        matrix = int8 and len(shape) > 1 and not name.startswith("positions")
        placed = tensor.to(device, torch.float32 if matrix else dtype)
        weights[name] = quantize(placed) if matrix else placed
    return weights


def cpu_cost(rows: int) -> float:
    """What int8 passes cost on a CPU with AVX2."""
    return 1.0 if rows <= 4 else 1.0 + (rows - 4) * 0.09


def plain(weights: Mapping[str, Weight], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The same weights, none of them in int8."""
    found = dict[str, Tensor]()
    for name, weight in weights.items():
        weight = weight.dequantized(dtype) if isinstance(weight, Int8Weight) else weight
        assert isinstance(weight, Tensor), "only an Int8Weight can be dequantised"
        found[name] = weight
    return found


def dequantized(weights: Mapping[str, Weight], dtype: torch.dtype = torch.float32) -> dict[str, Weight]:
    """The same, as a decoder takes them."""
    return {**plain(weights, dtype)}


def taken_through(
    decoder: Decoder, cache: Cache, pieces: Sequence[tuple[list[int], int]] = PIECES
) -> list[Tensor]:
    """All logits of each step, with the rewinds between them."""
    logits = []
    for tokens, back in pieces:
        logits.append(decoder.forward(tokens, cache, "all"))
        cache.rewind(cache.length - back)
    return logits
