"""Attention's kernels against exact attention, in every precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model_runtime.decoding import DecoderConfig, Rotary
from model_runtime.torch_decoder.attention import StaticStep
from model_runtime.torch_decoder.positions import RotaryPositions
from tests.model_runtime.torch_decoder.kernels.device import DEVICE, assert_near, draw
from tests.model_runtime.torch_decoder.steps import GPT_BIGCODE

pytest.importorskip("triton", reason="Triton is not installed")

CAPACITY, START = 128, 60
"""Tokens of the cache, and of them those before the step: the following ones are in another part."""


def shape(heads: int, kv_heads: int, head_dim: int, rotary: int = 0) -> DecoderConfig:
    turned = Rotary(dim=rotary, theta=10000.0) if rotary else None
    return replace(GPT_BIGCODE, heads=heads, kv_heads=kv_heads, head_dim=head_dim, rotary=turned)


def compare(config: DecoderConfig, length: int, dtype: torch.dtype) -> None:
    """A step of `length` tokens, its output and what it leaves in the cache, on kernels and exactly."""
    from model_runtime.torch_decoder.triton_attention import TritonStep

    positions = torch.arange(START, START + length, device=DEVICE)
    rows = draw(length, config.heads + 2 * config.kv_heads, config.head_dim).to(dtype)
    held = draw(2 * config.kv_heads, CAPACITY, config.head_dim, seed=1).to(dtype)
    cache, exact_cache = held.clone(), held.double()
    tables, rotate = None, None
    if config.rotary is not None:
        turned = RotaryPositions(config.rotary, CAPACITY, dtype, positions.device)
        exactly = RotaryPositions(config.rotary, CAPACITY, torch.float64, positions.device)
        tables, rotate = turned.tables, exactly.rotation(positions)
    step = StaticStep(config, [exact_cache], rotate, positions, CAPACITY, torch.float64)
    expected = step(0, rows.double())
    found = TritonStep(config, [cache], tables, positions, CAPACITY)(0, rows)
    assert_near(found, expected, 4)
    assert_near(cache, exact_cache, 4)
    old = [place for place in range(CAPACITY) if place not in positions]
    assert cache[:, old].equal(held[:, old]), "nothing else is written"


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9, 16])
def test_a_step_of_any_width_equals_exact_attention(length: int, dtype: torch.dtype) -> None:
    compare(shape(2, 1, 8, rotary=4), length, dtype)


@pytest.mark.parametrize(
    "config",
    [shape(3, 3, 16, rotary=16), shape(4, 2, 12, rotary=6), shape(5, 1, 20), shape(1, 1, 10, rotary=2)],
    ids=["a key head each", "2 query heads to a key head, partly turned", "one key head", "one head"],
)
def test_any_number_of_heads_equals_exact_attention(config: DecoderConfig, dtype: torch.dtype) -> None:
    compare(config, 5, dtype)


@pytest.mark.parametrize("keys", [64, 100, 2300])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(6, 2, 8), (5, 1, 20)])
def test_attention_over_many_parts_equals_exact_attention(
    heads: int, kv_heads: int, head_dim: int, keys: int
) -> None:
    from model_runtime.torch_decoder.triton_attention import TritonStep

    config = replace(shape(heads, kv_heads, head_dim), context_length=keys)
    rows = draw(4, heads + 2 * kv_heads, head_dim)
    positions = torch.tensor([keys - 5, keys - 4, keys - 3, keys - 2], device=DEVICE)
    held = draw(2 * kv_heads, keys + 7, head_dim, seed=1)
    step = StaticStep(config, [held.double()], None, positions, keys, torch.float64)
    found = TritonStep(config, [held.clone()], None, positions, keys)(0, rows)
    torch.testing.assert_close(found.double(), step(0, rows.double()), atol=1e-5, rtol=1e-4)


def test_scores_too_large_for_half_precision_give_no_nan(dtype: torch.dtype) -> None:
    """fp16 ends at 65504; in products of the matrix units nothing is that small a number."""
    from model_runtime.torch_decoder.triton_attention import TritonStep

    config, positions = shape(2, 1, 8), torch.tensor([3, 4], device=DEVICE)
    rows = 200 * draw(2, 4, 8).to(dtype)
    step = StaticStep(
        config, [torch.zeros(2, 64, 8, device=DEVICE).double()], None, positions, 64, torch.float64
    )
    cache = torch.zeros(2, 64, 8, dtype=dtype, device=DEVICE)
    found = TritonStep(config, [cache], None, positions, 64)(0, rows)
    assert_near(found / 200, step(0, rows.double()) / 200, 4)
