"""Projections' kernels against exact products, in every precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from model_runtime.decoding import Activation
from model_runtime.torch_decoder import Int8Weight, quantize
from model_runtime.torch_decoder.layers import activation
from model_runtime.torch_decoder.projections import Projections
from tests.model_runtime.torch_decoder.kernels.device import DEVICE, assert_near, draw
from tests.model_runtime.torch_decoder.steps import CODEGEN, LLAMA, plain, random_weights

pytest.importorskip("triton", reason="Triton is not installed")

formats = pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])


def product(*arguments: Any) -> Any:
    from model_runtime.torch_decoder.triton_projections import TritonProjection

    return TritonProjection(*arguments)


def matrix(
    outs: int, ins: int, dtype: torch.dtype, int8: bool
) -> tuple[torch.Tensor | Int8Weight, torch.Tensor]:
    """A weight, and exactly what it stands for."""
    weight = draw(outs, ins) / ins**0.5
    kept = quantize(weight) if int8 else weight.to(dtype)
    return kept, kept.dequantized(torch.float32).double() if isinstance(kept, Int8Weight) else kept.double()


@formats
@pytest.mark.parametrize(
    ("shape", "length"),
    [*(((34, 333), length) for length in (1, 2, 8, 17, 64, 65)), ((7, 40), 1), ((7, 40), 8), ((16, 256), 16)],
)
def test_a_product_equals_the_exact_one(
    shape: tuple[int, int], length: int, dtype: torch.dtype, int8: bool
) -> None:
    kept, exact = matrix(*shape, dtype, int8)
    x, bias = draw(length, shape[1], seed=1).to(dtype), draw(shape[0], seed=2).to(dtype)
    # Where torch computes, which is with many rows, an int8 weight is rounded to the activations' precision.
    roundings = 16 if dtype == torch.float32 else 4
    assert_near(product(kept, bias)(x), x.double() @ exact.T + bias.double(), roundings)


@pytest.mark.parametrize("length", [1, 3, 70])
@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "relu", "silu"])
def test_bias_activation_and_residual_are_included(kind: Activation, length: int, dtype: torch.dtype) -> None:
    kept, exact = matrix(6, 48, dtype, int8=True)
    bias, x, onto = (
        draw(*size, seed=seed).to(dtype) for seed, size in enumerate([(6,), (length, 48), (length, 6)], 1)
    )
    config, before = replace(CODEGEN, activation=kind), onto.clone()
    found = product(kept, bias, config)(x, onto)
    assert_near(found, activation(config)(x.double() @ exact.T + bias.double()) + onto.double(), 8)
    assert onto.equal(before), "the residual stream is somebody else's too"


@pytest.mark.parametrize("length", [1, 4])
def test_every_int8_value_is_converted_exactly(length: int, dtype: torch.dtype) -> None:
    """The kernels convert by tricks with a number's bits: each value is read alone, and multiplied by 1."""
    values = torch.arange(-127, 128, dtype=torch.int8, device=DEVICE)
    weight = Int8Weight(values[None].clone(), torch.ones(1, device=DEVICE))
    for start in range(0, 255, 15 * length):
        places = torch.arange(start, start + length, device=DEVICE).clamp(max=254)
        x = torch.nn.functional.one_hot(places, 255).to(dtype)
        assert product(weight, None)(x)[:, 0].equal(values[places].to(dtype))


@pytest.mark.parametrize("mlp", ["plain", "gated"])
@formats
def test_an_mlp_on_kernels_equals_the_one_without(mlp: str, int8: bool, dtype: torch.dtype) -> None:
    config = replace(CODEGEN if mlp == "plain" else LLAMA, width=16, mlp_width=20)
    weights = random_weights(config, int8=int8, dtype=dtype, device=DEVICE)
    on_kernels = Projections(weights, frozenset({DEVICE})).mlp("blocks.0", config)
    exact = {name: weight.double() for name, weight in plain(weights).items()}
    for length in (1, 5):
        x, onto = draw(length, config.width).to(dtype), draw(length, config.width, seed=1).to(dtype)
        expected = Projections(exact, frozenset()).mlp("blocks.0", config)(x.double(), onto.double())
        assert_near(on_kernels(x, onto), expected, 16)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 2, 5, 16, 40, 64, 65])
@pytest.mark.parametrize("shape", [(6144, 6144), (2304, 2048), (16400, 1000), (391, 4096)])
def test_on_a_gpu_products_of_real_sizes_are_near_the_exact_ones(
    shape: tuple[int, int], length: int, half: torch.dtype
) -> None:
    x = draw(length, shape[1], seed=1).to(half)
    for int8 in (False, True):
        kept, exact = matrix(*shape, half, int8)
        expected = x.double() @ exact.T
        assert (product(kept, None)(x).double() - expected).norm() < 1e-2 * expected.norm()
