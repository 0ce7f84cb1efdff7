"""The Triton kernels against torch: compiled where there is a GPU, else run by Triton's interpreter."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention

from model_runtime.decoding import Acceleration, Activation, Decoder, DecoderConfig, quantize
from model_runtime.decoding.layers import activation
from tests.model_runtime.decoding.steps import (
    CODEGEN,
    CONFIGS,
    GPT_BIGCODE,
    dequantized,
    random_weights,
    taken_through,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # Triton looks when it is imported, and so do its kernels

pytest.importorskip("triton", reason="Triton is not installed")


def product(*arguments: Any) -> Any:
    from model_runtime.decoding.triton_projections import TritonProjection

    return TritonProjection(*arguments)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("length", [1, 2, 8, 17, 65])
@pytest.mark.parametrize("shape", [(7, 40), (34, 333), (16, 256)])
def test_a_product_equals_the_one_with_the_dequantized_weight(
    shape: tuple[int, int], length: int, int8: bool
) -> None:
    weight, x, bias = draw(*shape) / shape[1] ** 0.5, draw(length, shape[1], seed=1), draw(shape[0], seed=2)
    kept = quantize(weight) if int8 else weight
    exact = quantize(weight).dequantized(torch.float32) if int8 else weight
    for added in (bias, None):
        expected = F.linear(x, exact, added)
        torch.testing.assert_close(product(kept, added)(x), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 3, 70])
@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "relu", "silu"])
def test_activation_and_residual_are_included(kind: Activation, length: int) -> None:
    weight, x, onto = draw(18, 48) / 4, draw(length, 48, seed=1), draw(length, 18, seed=2)
    config = replace(CODEGEN, activation=kind)
    before = onto.clone()
    found = product(weight, None, config)(x, onto)
    torch.testing.assert_close(found, activation(config)(x @ weight.T) + onto, atol=2e-5, rtol=1e-4)
    assert onto.equal(before), "the residual stream is somebody else's too"


def test_half_precision_rounds_once() -> None:
    weight, x = quantize(draw(24, 96) / 10), draw(4, 96, seed=1)
    exact = x.half().double() @ weight.dequantized(torch.float32).double().T
    for rows in (x[:1], x):
        found = product(weight, None)(rows.half())
        torch.testing.assert_close(found.double(), exact[: len(rows)], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_steps_on_kernels_give_the_logits_of_torch(config: DecoderConfig) -> None:
    config = replace(config, layers=1)
    weights = random_weights(config, int8=True, device=DEVICE)
    kernels = Acceleration(frozenset({DEVICE}), lambda run: run)
    ours, theirs = Decoder(config, weights, kernels), Decoder(config, dequantized(weights), Acceleration())
    pieces = [([*range(66)], 0), ([7, 9, 32], 2), ([26], 0)]
    found = taken_through(ours, ours.new_cache(96), pieces)
    for logits, expected in zip(found, taken_through(theirs, theirs.new_cache(96), pieces), strict=True):
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_keys_after_a_position_are_never_read() -> None:
    """Not even to be multiplied by 0: were it infinite, nothing would come out right ever after."""
    config = replace(GPT_BIGCODE, layers=1)
    decoder = Decoder(
        config, random_weights(config, device=DEVICE), Acceleration(frozenset({DEVICE}), lambda run: run)
    )
    clean, spoilt = decoder.new_cache(300), decoder.new_cache(300)
    for layer in spoilt.layers():
        layer.fill_(float("nan"))
    for tokens in ([*range(70)], [1, 2]):
        assert decoder.forward(tokens, spoilt).equal(decoder.forward(tokens, clean))


@pytest.mark.parametrize("keys", [64, 100, 2300])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(6, 2, 8), (5, 1, 20)])
def test_attention_over_many_parts_equals_attention(
    heads: int, kv_heads: int, head_dim: int, keys: int
) -> None:
    from model_runtime.decoding.attention import StaticStep
    from model_runtime.decoding.triton_attention import TritonStep

    config = replace(
        GPT_BIGCODE, heads=heads, kv_heads=kv_heads, head_dim=head_dim, context_length=keys, width=16
    )
    rows = draw(4, heads + 2 * kv_heads, head_dim)
    positions = torch.tensor([keys - 5, keys - 4, keys - 3, keys - 2], device=DEVICE)
    held = draw(2 * kv_heads, keys + 7, head_dim, seed=1)
    expected = StaticStep(config, [held.clone()], None, positions, keys, torch.float32)(0, rows.clone())
    found = TritonStep(config, [held.clone()], None, positions, keys)(0, rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 2, 5, 16, 40, 64, 65])
@pytest.mark.parametrize("shape", [(6144, 6144), (2304, 2048), (16400, 1000), (391, 4096)])
def test_on_a_gpu_products_of_real_sizes_are_near_the_exact_ones(
    shape: tuple[int, int], length: int, dtype: torch.dtype
) -> None:
    weight, x = draw(*shape) / shape[1] ** 0.5, draw(length, shape[1], seed=1).to(dtype)
    for kept in (quantize(weight), weight.to(dtype)):
        exact = kept if isinstance(kept, torch.Tensor) else kept.dequantized(torch.float32)
        expected = x.double() @ exact.double().T
        found = product(kept, None)(x).double()
        assert (found - expected).norm() < 1e-2 * expected.norm()
