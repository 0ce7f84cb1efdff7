"""A decoder on kernels gives the logits of one on torch's operations, in every precision."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder import Acceleration, Decoder
from model_runtime.torch_decoder.acceleration import acceleration
from model_runtime.torch_decoder.graphs import Capture
from tests.model_runtime.torch_decoder.kernels.device import DEVICE, DTYPES
from tests.model_runtime.torch_decoder.steps import (
    CONFIGS,
    GPT_BIGCODE,
    LLAMA,
    dequantized,
    plain,
    random_weights,
    taken_through,
)

pytest.importorskip("triton", reason="Triton is not installed")

KERNELS = Acceleration(frozenset({DEVICE}), lambda run: run)
"""On a CPU a graph is replayed by running the step again."""

SMALL: dict[str, Any] = {"vocab_size": 19, "width": 16, "mlp_width": 20}
"""Triton's interpreter is slow: its time is that of a kernel's programs, each for a few rows of a weight."""

PIECES = [([token % 19 for token in range(66)], 0), ([7, 9, 12], 2), ([16], 0)]
"""The first is too long for a graph: projections with many rows, and attention without kernels."""


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_steps_on_kernels_are_as_near_to_the_exact_logits_as_steps_on_torch(
    config: DecoderConfig, dtype: torch.dtype
) -> None:
    config = replace(config, layers=1, **SMALL)
    weights = random_weights(config, int8=not config.tied_head, dtype=dtype, device=DEVICE)
    exact = {name: weight.double() for name, weight in plain(weights).items()}

    def logits(decoder: Decoder) -> torch.Tensor:
        return torch.cat(taken_through(decoder, decoder.new_cache(96), PIECES)).double()

    expected = logits(Decoder(config, exact, Acceleration()))
    theirs = logits(Decoder(config, dequantized(weights, dtype), Acceleration()))
    ours = logits(Decoder(config, weights, KERNELS))
    assert (ours - expected).norm() < 1.5 * (theirs - expected).norm()


def test_kernels_in_graphs_find_new_positions_and_other_caches(recorder: Capture) -> None:
    """What is no address must not change between launches, or a graph would go on with what it was."""
    config = replace(LLAMA, layers=1, **SMALL)
    weights = random_weights(config, dtype=torch.float16, device=DEVICE)
    exact = {name: weight.double() for name, weight in plain(weights).items()}
    graphs = Decoder(config, weights, Acceleration(frozenset({DEVICE}), recorder))
    eager = Decoder(config, exact, Acceleration())
    pieces = [([1, 2], 0), ([3], 0), ([5, 6], 1), ([7], 0)]
    for cache in (graphs.new_cache(96), graphs.new_cache(96)):
        expected = taken_through(eager, eager.new_cache(96), pieces)
        for ours, theirs in zip(taken_through(graphs, cache, pieces), expected, strict=True):
            assert (ours - theirs).norm() < 5e-3 * theirs.norm()


def test_keys_after_a_position_are_never_read(dtype: torch.dtype) -> None:
    """Not even to be multiplied by 0: were it infinite, nothing would come out right ever after."""
    config = replace(GPT_BIGCODE, layers=1, **SMALL)
    decoder = Decoder(config, random_weights(config, dtype=dtype, device=DEVICE), KERNELS)
    clean, spoilt = decoder.new_cache(300), decoder.new_cache(300)
    for layer in spoilt.layers():
        layer.fill_(float("nan"))
    for tokens in (PIECES[0][0], [1, 2]):
        assert decoder.forward(tokens, spoilt).equal(decoder.forward(tokens, clean))


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("half", DTYPES.values(), ids=DTYPES)
def test_a_cpu_and_apples_gpus_use_no_kernels_although_triton_is_installed(
    device: str, half: torch.dtype
) -> None:
    assert acceleration([torch.device(device)] * 2, half) == Acceleration()


def test_a_decoder_on_the_cpu_does_not_even_import_triton() -> None:
    code = """
import sys
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.torch_decoder.steps import CODEGEN, random_weights, taken_through
decoder = Decoder(CODEGEN, random_weights(CODEGEN, int8=True))
taken_through(decoder, decoder.new_cache())
print("triton" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"
