from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_runtime.training import save_state
from recipes.default_model.export import checkpoint_config, export_model, read_weights
from recipes.default_model.network import Network, Shape
from recipes.default_model.sizes import SIZES, SizeName
from recipes.default_model.vocabulary import train_tokenizer
from tests.model_runtime.opening import open_torch
from tests.model_runtime.training.source_code import module

SHAPE = Shape(vocab_size=301, context=48, width=64, layers=2, heads=4)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(SHAPE)


def test_the_network_computes_what_transformers_gpt_bigcode_does(network: Network) -> None:
    from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

    theirs = GPTBigCodeForCausalLM(GPTBigCodeConfig(**checkpoint_config(SHAPE, end_of_text=0)))
    missing, unexpected = theirs.load_state_dict(network.state_dict(), strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    theirs.tie_weights()
    theirs.train(False)
    tokens = torch.randint(SHAPE.vocab_size, (2, 48))
    with torch.no_grad():
        torch.testing.assert_close(network(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, 1e-4), (True, 2e-2)])
def test_the_runtime_computes_what_was_trained(
    network: Network, tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    state = {"network": network.state_dict(), "shape": vars(SHAPE)}
    save_state(state, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model", quantized)
    decoder = open_torch(tmp_path / "model")
    tokens = torch.randint(SHAPE.vocab_size, (40,))
    ours = decoder.forward(tokens.tolist(), decoder.new_cache(), "all")
    with torch.no_grad():
        torch.testing.assert_close(ours, network(tokens[None])[0], atol=tolerance, rtol=0)


def test_an_exported_config_says_that_its_weights_are_int8(network: Network, tmp_path: Path) -> None:
    save_state({"network": network.state_dict(), "shape": vars(SHAPE)}, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "fimble-int8"}


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, 0.0), (True, 1e-3)])
def test_training_can_start_from_an_exported_model(
    network: Network, tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    save_state({"network": network.state_dict(), "shape": vars(SHAPE)}, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model", quantized)
    read = read_weights(tmp_path / "model", SHAPE)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(read[name], weight, atol=tolerance, rtol=0)
    with pytest.raises(ValueError, match="n_layer is 2, not 3"):
        read_weights(tmp_path / "model", replace(SHAPE, layers=3))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        read_weights(tmp_path, SHAPE)


@pytest.mark.parametrize("name", list(SIZES))
def test_a_model_of_either_size_is_small_enough_for_the_package(name: SizeName) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        made = Network(Shape(size.vocab_size, size.context, size.width, size.layers, size.heads))
    assert sum(parameter.numel() for parameter in made.parameters()) <= 32_000_000
    in_int8 = sum(p.numel() + 4 * len(p) if p.ndim == 2 else 4 * p.numel() for p in made.parameters())
    tokenizer = 75 * size.vocab_size  # bytes, as measured
    assert in_int8 + tokenizer <= 34 * 2**20
