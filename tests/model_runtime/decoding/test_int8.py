"""Projections on int8 weights: the kernel against the dequantized weight, and each row by itself."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_runtime.checkpoints import load
from model_runtime.decoding import Decoder, Int8Weight, Sampler, generate, has_int8_kernel, quantize
from model_runtime.decoding.int8 import LEVELS, MAX_ROUNDING_ERROR, int8_linear, reference
from model_runtime.models import resolve

CPU = torch.device("cpu")
FP32 = torch.float32
SHAPES = [(640, 512), (512, 2048), (33, 7), (8, 16), (1, 3), (5, 1), (1, 1), (391, 50)]

kernel = pytest.mark.skipif(not has_int8_kernel(CPU, FP32), reason="torch has the kernel on x86 alone")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def parts(out: int, width: int, biased: bool = True) -> tuple[Int8Weight, Tensor | None]:
    return quantize(random(out, width)), random(out, seed=1) if biased else None


def bound(weight: Int8Weight, x: Tensor) -> Tensor:
    """How far each element of a product may be off: (length, out).

    An element of `x` is off by half a step at most, and a step is its row's largest magnitude / LEVELS. All
    of them could be off in the worst direction; a little is left to the rounding of fp32.
    """
    half_step = x.abs().amax(dim=1, keepdim=True) / (2 * LEVELS)
    magnitudes = weight.dequantized(FP32).abs()
    return half_step * magnitudes.sum(dim=1) * 1.001 + 1e-5 * (x.abs() @ magnitudes.T) + 1e-6


@kernel
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernel_gives_the_product_but_for_the_rounding_of_activations(
    shape: tuple[int, int], biased: bool
) -> None:
    weight, bias = parts(*shape, biased)
    x = random(9, shape[1], seed=2) * torch.logspace(-3, 3, 9)[:, None]
    off = int8_linear(weight, bias, FP32)(x) - reference(weight, bias)(x)
    assert (off.abs() <= bound(weight, x)).all()


@kernel
def test_over_a_whole_row_the_roundings_mostly_cancel() -> None:
    # Roundings are uniform in a step: 1 / sqrt(12) of it. The largest of 512 normal draws is 3 to 4 of them.
    weight, bias = parts(640, 512)
    x = random(64, 512, seed=2)
    exact = reference(weight, bias)(x)
    error = (int8_linear(weight, bias, FP32)(x) - exact).norm() / exact.norm()
    assert error < 4 / LEVELS / 12**0.5


@kernel
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_is_the_same_bit_by_bit_whatever_is_computed_with_it(shape: tuple[int, int]) -> None:
    weight, bias = parts(*shape)
    product = int8_linear(weight, bias, FP32)
    x = random(70, shape[1], seed=2)
    x[7] *= 1e6  # an outlier must not spoil the others
    x[8] = 0
    whole = product(x)
    for size in (1, 2, 3, 5, 8, 33, 64):
        assert torch.equal(torch.cat([product(piece) for piece in torch.split(x, size)]), whole)


@kernel
@pytest.mark.parametrize("biased", [True, False])
def test_a_row_of_zeros_gives_the_bias(biased: bool) -> None:
    weight, bias = parts(33, 20, biased)
    x = random(3, 20)
    x[1] = 0
    assert torch.equal(int8_linear(weight, bias, FP32)(x)[1], torch.zeros(33) if bias is None else bias)


@kernel
def test_a_broken_activation_breaks_its_own_row_alone() -> None:
    weight, bias = parts(33, 20)
    x = random(3, 20)
    x[1, 4] = float("nan")
    x[2, 4] = float("inf")
    y = int8_linear(weight, bias, FP32)(x)
    assert y[0].isfinite().all()
    assert not y[1:].isfinite().any()


@kernel
def test_the_largest_weights_and_activations_do_not_overflow() -> None:
    weight = quantize(torch.ones(8, 4096))
    x = torch.ones(2, 4096)
    x[1] = -1
    torch.testing.assert_close(int8_linear(weight, None, FP32)(x), x @ torch.ones(4096, 8))


@kernel
@pytest.mark.parametrize("factor", [1, 10, 100])
def test_a_channel_that_towers_over_the_others_does_not_drown_them(factor: float) -> None:
    channels = torch.ones(512)
    channels[[3, 400]] = factor
    weight, bias = quantize(random(640, 512) / channels), random(640, seed=1)
    product, exact = int8_linear(weight, bias, FP32), reference(weight, bias)
    product(random(16, 512, seed=2) * channels)  # settles it
    x = random(64, 512, seed=3) * channels
    whole = product(x)
    assert (whole - exact(x)).norm() < MAX_ROUNDING_ERROR * exact(x).norm()
    assert torch.equal(torch.cat([product(row) for row in torch.split(x, 1)]), whole)


@kernel
def test_weights_are_packed_without_a_second_rounding() -> None:
    weight = Int8Weight(torch.randint(-127, 128, (40, 30), dtype=torch.int8), random(40).abs())
    one_hot = torch.eye(30)  # exact in any scale, so that each weight comes out by itself
    torch.testing.assert_close(
        int8_linear(weight, None, FP32)(one_hot).T, weight.dequantized(FP32), atol=0, rtol=1e-6
    )


@kernel
def test_a_product_does_not_write_to_its_input() -> None:
    weight, bias = parts(33, 20)
    x = random(3, 20)
    before = x.clone()
    int8_linear(weight, bias, FP32)(x)
    assert torch.equal(x, before)


def test_a_user_is_not_shown_torchs_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        int8_linear(*parts(8, 8), FP32)(random(2, 8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_for_other_dtypes_the_weight_is_dequantized_once(dtype: torch.dtype) -> None:
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
    weight, _ = parts(40, 12)
    ids = torch.tensor([3, 39, 3, 0])
    assert torch.equal(weight.rows(ids, FP32), weight.dequantized(FP32)[ids])


CODE = (Path(__file__).parents[3] / "model_runtime" / "tokenization" / "tokenizer.py").read_text(
    encoding="utf-8"
)


@pytest.fixture(scope="module")
def opened() -> tuple[Decoder, list[int]]:
    """The default model in int8, and real code as its tokens."""
    from tokenizers import Tokenizer

    folder = resolve(None)
    decoder = load(folder, device=CPU, dtype=FP32, matrices="int8").decoder
    return decoder, Tokenizer.from_file(str(folder / "tokenizer.json")).encode(CODE).ids[:300]


def continued(decoder: Decoder, tokens: list[int], piece: int) -> list[int]:
    found = generate(decoder, decoder.new_cache(), tokens, Sampler(), max_tokens=40, chunk=piece)
    return [token for token in found if token is not None]


@kernel
@pytest.mark.parametrize("size", [1, 3, 8, 64, 100])
def test_the_default_model_continues_alike_whatever_the_prefill_chunks(
    opened: tuple[Decoder, list[int]], size: int
) -> None:
    decoder, tokens = opened
    assert continued(decoder, tokens, size) == continued(decoder, tokens, len(tokens))
