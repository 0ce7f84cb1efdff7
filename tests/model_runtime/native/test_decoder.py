"""The native decoder against torch's, on the weights that the quantised ones stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.checkpoints import load
from model_runtime.checkpoints.loading import family_and_config, open_checkpoint
from model_runtime.checkpoints.reading import ENDS
from model_runtime.checkpoints.weights import Weights
from model_runtime.decoding import DecoderConfig, Logits, Rotary
from model_runtime.native import Bits, NativeDecoder
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.factory import TINY, write_checkpoint
from tests.model_runtime.native.decoders import (
    all_logits,
    error,
    open_small,
    random_weights,
    restored,
    small,
    some_tokens,
)
from tests.model_runtime.native.support import KERNELS, needs_native

pytestmark = needs_native

TOLERANCE = 1e-3
"""Of logits, relative to their root mean square: keys and values are kept in fp16."""

EVERY_BIAS = frozenset({"qkv", "attention_out", "mlp", "head"})
OLD: dict[str, Any] = {"norm": "layernorm", "mlp": "plain", "activation": "gelu", "biases": EVERY_BIAS}

CONFIGS: dict[str, dict[str, Any]] = {
    "Llama's block": {},
    "a parallel block": {"block": "parallel", **OLD},
    "a parallel block, gated, with RMS norm": {"block": "parallel", "biases": frozenset({"head"})},
    "learned positions": {"rotary": None, **OLD, "tied_head": True},
    "learned positions in a parallel block": {"rotary": None, **OLD, "block": "parallel"},
    "an exact GELU": {"activation": "gelu"},
    "GELU by tanh": {**OLD, "activation": "gelu_tanh"},
    "ReLU": {**OLD, "activation": "relu"},
    "SiLU, not gated": {**OLD, "activation": "silu"},
    "ReLU, gated": {"activation": "relu"},
    "as many key heads": {"kv_heads": 4},
    "one key head": {"kv_heads": 1},
    "one head": {"heads": 1, "kv_heads": 1},
    "7 query heads to a key head": {"heads": 14, "kv_heads": 2, "head_dim": 8, "rotary": Rotary(8, 1e4)},
    "heads turned in part": {"rotary": Rotary(4, 1e4)},
    "linear scaling, another theta": {"rotary": Rotary(12, 1e6, factor=4.0)},
    "heads of 32": {"head_dim": 32, "rotary": Rotary(32, 1e4)},
    "heads of 64": {"head_dim": 64, "rotary": Rotary(16, 1e4)},
    "heads of 80": {"head_dim": 80, "rotary": Rotary(80, 1e4)},
    "heads of 128": {"head_dim": 128, "heads": 2, "kv_heads": 1, "rotary": Rotary(128, 1e4)},
    "heads of 256": {"head_dim": 256, "heads": 2, "kv_heads": 2, "rotary": Rotary(64, 1e4)},
    "heads of 9": {"head_dim": 9, "rotary": Rotary(6, 1e4)},
    "heads of 1": {"head_dim": 1, "rotary": None},
    "odd widths": {"width": 45, "head_dim": 13, "mlp_width": 77, "vocab_size": 391, **OLD},
    "odd widths, gated": {"width": 33, "head_dim": 13, "mlp_width": 31, "vocab_size": 17},
    "a bias in attention": {"biases": frozenset({"qkv"}), "tied_head": True},
    "scores scaled in another way": {"attention_scale": 0.2},
    "another epsilon": {"norm_eps": 1e-2, **OLD},
    "one layer, wide": {"layers": 1, "width": 200, "mlp_width": 500},
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("facts", CONFIGS.values(), ids=list(CONFIGS))
def test_logits_are_those_of_the_restored_weights(facts: dict[str, Any], kernels: str) -> None:
    config = small(**facts)
    for bits in (8, 4):
        weights = random_weights(config, 8 if bits == 8 else 4)
        decoder = NativeDecoder(config, weights, kernels=kernels)
        tokens = some_tokens(config, 70)
        found, expected = all_logits(decoder, tokens), all_logits(restored(config, weights), tokens)
        assert error(found, expected) < TOLERANCE
        for row, wanted in zip(found, expected, strict=True):
            assert error(row, wanted) < 5 * TOLERANCE


@st.composite
def small_configs(draw: st.DrawFn) -> DecoderConfig:
    kv_heads, head_dim = draw(st.integers(1, 3)), draw(st.integers(2, 40))
    rotary = Rotary(2 * draw(st.integers(1, head_dim // 2)), draw(st.sampled_from([1e2, 1e4, 1e6])))
    return small(
        vocab_size=draw(st.integers(8, 70)),
        width=draw(st.integers(8, 70)),
        layers=draw(st.integers(1, 3)),
        heads=kv_heads * draw(st.integers(1, 6)),
        kv_heads=kv_heads,
        head_dim=head_dim,
        mlp_width=draw(st.integers(1, 100)),
        rotary=draw(st.sampled_from([rotary, None])),
        block=draw(st.sampled_from(["sequential", "parallel"])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        mlp=draw(st.sampled_from(["plain", "gated"])),
        activation=draw(st.sampled_from(["gelu", "gelu_tanh", "relu", "silu"])),
        biases=draw(st.frozensets(st.sampled_from(sorted(EVERY_BIAS)))),
        tied_head=draw(st.booleans()),
    )


@settings(max_examples=50)
@given(
    config=small_configs(),
    bits=st.sampled_from([8, 4]),
    count=st.integers(1, 150),
    seed=st.integers(0, 99),
    threads=st.integers(1, 3),
)
def test_logits_of_any_configuration_are_those_of_the_restored_weights(
    config: DecoderConfig, bits: Bits, count: int, seed: int, threads: int
) -> None:
    weights, tokens = random_weights(config, bits, seed), some_tokens(config, count, seed)
    expected = all_logits(restored(config, weights), tokens)
    alone: Logits | None = None
    for kernels in KERNELS:
        decoder = NativeDecoder(config, weights, kernels=kernels)
        decoder.set_threads(threads)
        found = all_logits(decoder, tokens)
        assert error(found, expected) < 3 * TOLERANCE  # a single value of a few in fp16 may be as far off
        alone = found if alone is None else alone
        assert error(found, alone) < TOLERANCE
        assert np.array_equal(decoder.forward(tokens, decoder.new_cache()), found[-1])


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("family", TINY)
def test_a_loaded_model_has_the_logits_of_its_restored_weights(
    tmp_path: Path, family: str, bits: Bits
) -> None:
    write_checkpoint(tmp_path, family=family)
    decoder = load(tmp_path, device="cpu", dtype="fp32", matrices="int8" if bits == 8 else "int4").decoder
    assert isinstance(decoder, NativeDecoder)
    checkpoint = open_checkpoint(tmp_path)
    weights = Weights(checkpoint, *family_and_config(checkpoint))
    floats = {
        name: torch.from_numpy(weights.grouped(name, 8 if name in ENDS else bits).dequantized())
        if len(shape) == 2 and name != "positions.weight"
        else torch.from_numpy(weights.floats(name))
        for name, shape in weights.shapes.items()
    }
    tokens = some_tokens(decoder.config, 200)
    assert error(all_logits(decoder, tokens), all_logits(Decoder(decoder.config, floats), tokens)) < TOLERANCE


@pytest.mark.parametrize("kernels", KERNELS)
def test_logits_stay_near_over_several_batches_and_blocks_of_the_cache(kernels: str) -> None:
    config = small(heads=6, kv_heads=2)
    weights, tokens = random_weights(config), some_tokens(config, config.context_length)
    decoder, torchs = NativeDecoder(config, weights, kernels=kernels), restored(config, weights)
    assert error(all_logits(decoder, tokens), all_logits(torchs, tokens)) < TOLERANCE


def test_kernels_that_there_are_not_are_refused() -> None:
    with pytest.raises(AssertionError, match="cannot run here"):
        open_small(kernels="abacus")


def test_a_decoder_counts_its_parameters_and_what_a_step_reads() -> None:
    config = small(tied_head=True)
    weights = random_weights(config)
    decoder, torchs = NativeDecoder(config, weights), restored(config, weights)
    assert decoder.parameters == torchs.parameters
    assert decoder.step_bytes == sum(weight.nbytes for weight in weights.values())
    untied = open_small()
    assert untied.step_bytes < sum(weight.nbytes for weight in random_weights(untied.config).values())
