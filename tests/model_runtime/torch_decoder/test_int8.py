"""Matrices in int8 with a scale for each row: quantised, and restored."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_runtime.torch_decoder import quantize
from model_runtime.torch_decoder.int8 import int8_linear, reference

FP32 = torch.float32


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_cpu_the_weight_is_dequantized_once(dtype: torch.dtype) -> None:
    weight, bias = quantize(random(33, 20)), random(33).to(dtype)
    x = random(3, 20).to(dtype)
    expected = reference(weight, bias)(x)
    product = int8_linear(weight, bias, dtype)
    weight.values.zero_()  # nobody looks at them any more
    torch.testing.assert_close(product(x), expected, atol=0, rtol=0)


def test_quantised_rows_are_within_half_a_step_of_the_weights() -> None:
    weight = random(1500, 1033) * torch.logspace(-2, 3, 1500)[:, None]  # more than is quantised at a time
    quantized = quantize(weight)
    off = (quantized.dequantized(FP32) - weight).abs()
    assert (off <= 0.501 * quantized.scale[:, None]).all()
    assert (quantized.values.abs().amax(dim=1) == 127).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_of_zeros_survives_quantisation(dtype: torch.dtype) -> None:
    quantized = quantize(torch.tensor([[0, 0, 0], [0, 1, -2]], dtype=dtype))
    assert torch.equal(quantized.dequantized(dtype)[0], torch.zeros(3, dtype=dtype))
    assert quantized.values[1].tolist() == [0, 64, -127]


def test_rows_of_an_embedding_are_those_of_the_dequantized_matrix() -> None:
    weight = quantize(random(40, 12))
    ids = torch.tensor([3, 39, 3, 0])
    assert torch.equal(weight.rows(ids, FP32), weight.dequantized(FP32)[ids])
