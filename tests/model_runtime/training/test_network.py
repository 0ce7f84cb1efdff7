from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_runtime.checkpoints import load
from model_runtime.training.export import checkpoint_config, export_model, read_weights
from model_runtime.training.network import Network, Shape, parameter_count
from model_runtime.training.optimizers import orthogonalise
from model_runtime.training.pieces import save_pieces
from model_runtime.training.sizes import SIZES, SizeName
from model_runtime.training.vocabulary import train_tokenizer
from tests.model_runtime.training.wheels import module

SHAPE = Shape(vocab_size=301, context=48, width=64, layers=2, heads=4)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(SHAPE)


def test_the_trainable_network_is_transformers_gpt_bigcode(network: Network) -> None:
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
def test_what_is_exported_is_what_the_runtime_computes(
    network: Network, tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    state = {"network": network.state_dict(), "shape": vars(SHAPE)}
    save_pieces(state, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model", quantized)
    loaded = load(tmp_path / "model", device=torch.device("cpu"), dtype=torch.float32)
    tokens = torch.randint(SHAPE.vocab_size, (40,))
    ours = loaded.decoder.forward(tokens.tolist(), loaded.decoder.new_cache(), "all")
    with torch.no_grad():
        torch.testing.assert_close(ours, network(tokens[None])[0], atol=tolerance, rtol=0)


def test_an_exported_config_says_that_its_weights_are_int8(network: Network, tmp_path: Path) -> None:
    save_pieces({"network": network.state_dict(), "shape": vars(SHAPE)}, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "fimble-int8"}


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, 0.0), (True, 1e-3)])
def test_training_can_begin_with_what_was_exported(
    network: Network, tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    save_pieces({"network": network.state_dict(), "shape": vars(SHAPE)}, tmp_path / "checkpoint")
    train_tokenizer([module(1)], SHAPE.vocab_size).save(str(tmp_path / "tokenizer.json"))
    export_model(tmp_path, tmp_path / "model", quantized)
    read = read_weights(tmp_path / "model", SHAPE)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(read[name], weight, atol=tolerance, rtol=0)
    with pytest.raises(ValueError, match="n_layer is 2, not 3"):
        read_weights(tmp_path / "model", replace(SHAPE, layers=3))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        read_weights(tmp_path, SHAPE)


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_muons_update_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


@pytest.mark.parametrize("name", list(SIZES))
def test_a_model_of_either_size_is_small_enough_for_the_package(name: SizeName) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        made = Network(Shape(size.vocab_size, size.context, size.width, size.layers, size.heads))
    assert parameter_count(made) <= 32_000_000
    in_int8 = sum(p.numel() + 4 * len(p) if p.ndim == 2 else 4 * p.numel() for p in made.parameters())
    tokenizer = 75 * size.vocab_size  # bytes, as measured
    assert in_int8 + tokenizer <= 34 * 2**20
