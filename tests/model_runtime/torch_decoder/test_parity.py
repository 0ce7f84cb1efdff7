"""The decoder against transformers' models of the same random checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model_runtime.api import Dtype
from model_runtime.decoding import Logits, Sampler, generate
from model_runtime.torch_decoder import DTYPES, Decoder
from tests.model_runtime.factory import make_model, train_tokenizer, write_checkpoint
from tests.model_runtime.opening import open_torch
from tests.model_runtime.torch_decoder.shapes import SHAPES

LENGTH = 45
STEPS = 64


@dataclass
class Case:
    """A checkpoint of one shape with transformers' model of it."""

    model: Any
    folder: Path

    def decoder(self, dtype: Dtype = "fp32") -> Decoder:
        return open_torch(self.folder, dtype)


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("shape")
    write_checkpoint(folder, ascii_only=False, **request.param)
    return Case(make_model(**request.param), folder)


def prompt(seed: int = 1) -> list[int]:
    ids: list[int] = torch.randint(5, 384, (LENGTH,), generator=torch.Generator().manual_seed(seed)).tolist()
    return ids


def in_pieces(decoder: Decoder, tokens: list[int], size: int) -> Tensor:
    cache = decoder.new_cache()
    pieces = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    return torch.cat([decoder.forward(piece, cache, "all") for piece in pieces])


@torch.inference_mode()
def test_logits_equal_those_of_transformers_however_they_are_computed(case: Case) -> None:
    decoder = case.decoder()
    expected = case.model(torch.tensor([prompt()])).logits[0]
    for size in (LENGTH, 16, 7, 1):
        torch.testing.assert_close(in_pieces(decoder, prompt(), size), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_greedy_tokens_equal_those_of_transformers(case: Case) -> None:
    output = case.model.generate(torch.tensor([prompt()]), max_new_tokens=STEPS, do_sample=False)
    assert tokens_of(case.decoder(), Sampler()) == output[0, LENGTH:].tolist()


@torch.inference_mode()
def test_greedy_tokens_that_may_not_repeat_equal_those_of_transformers(case: Case) -> None:
    """Random models fall into loops, which show little; here each of the steps has to find something new."""
    options = {"max_new_tokens": STEPS, "do_sample": False, "no_repeat_ngram_size": 1}
    output = case.model.generate(torch.tensor([prompt()]), **options)
    taken = prompt()

    def take_best_new(logits: Logits) -> int:
        logits[taken] = -np.inf
        taken.append(int(logits.argmax()))
        return taken[-1]

    assert tokens_of(case.decoder(), take_best_new) == output[0, LENGTH:].tolist()


def tokens_of(decoder: Decoder, sample: Callable[[Logits], int]) -> list[int | None]:
    return list(generate(decoder, decoder.new_cache(), prompt(), sample, max_tokens=STEPS, chunk=LENGTH))


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "most"), [("fp16", 2e-3), ("bf16", 2e-2)], ids=["fp16", "bf16"])
def test_logits_in_half_precision_are_near_the_exact_ones_of_such_a_checkpoint(
    case: Case, dtype: Dtype, most: float
) -> None:
    decoder, half = case.decoder(dtype), DTYPES[dtype]
    rounded = {name: tensor.to(half).float() for name, tensor in case.model.named_parameters()}
    exact = torch.func.functional_call(case.model, rounded, (torch.tensor([prompt()]),)).logits[0]
    assert decoder.dtype == half
    for size in (LENGTH, 16, 1):
        ours = in_pieces(decoder, prompt(), size).float()
        error = (ours - exact).norm() / exact.norm()
        assert error < most, f"the logits are off by {error:.1%} of their root mean square"


@torch.inference_mode()
def test_the_last_positions_logits_are_the_last_of_all(case: Case) -> None:
    decoder = case.decoder()
    every = decoder.forward(prompt(), decoder.new_cache(), "all")
    last = decoder.forward(prompt(), decoder.new_cache())
    torch.testing.assert_close(last, every[-1], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_fp16_stays_near_full_precision(checkpoint_folder: Path) -> None:
    full = Case(None, checkpoint_folder).decoder()
    half = Case(None, checkpoint_folder).decoder("fp16")
    expected = full.forward(prompt(), full.new_cache())
    for size in (LENGTH, 1):
        last = in_pieces(half, prompt(), size)[-1].float()
        assert (last - expected).norm() < 0.01 * expected.norm()


Save = Callable[[Path, Any], None]


def as_bin(folder: Path, model: Any) -> None:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def as_bin_of_old(folder: Path, model: Any) -> None:
    """With the buffers that older releases of transformers saved among the weights."""
    state = dict(model.state_dict())
    for layer in range(2):
        state[f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e9)
    torch.save(state, folder / "pytorch_model.bin")


def as_shards(folder: Path, model: Any) -> None:
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def as_bin_shards(folder: Path, model: Any) -> None:
    state = model.state_dict()
    shards = {"pytorch_model-1.bin": list(state)[::2], "pytorch_model-2.bin": list(state)[1::2]}
    for shard, names in shards.items():
        torch.save({name: state[name] for name in names}, folder / shard)
    index = {"weight_map": {name: shard for shard, names in shards.items() for name in names}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("family", "save"),
    [
        ("gpt_bigcode", as_bin),
        ("gpt_bigcode", as_shards),
        ("gpt_bigcode", as_bin_shards),
        ("codegen", as_bin_of_old),
        ("gptj", as_bin_of_old),
        ("llama", as_shards),
        ("llama", as_bin_shards),
    ],
)
@torch.inference_mode()
def test_logits_are_the_same_from_every_kind_of_file(tmp_path: Path, family: str, save: Save) -> None:
    model = make_model(family=family)
    save(tmp_path, model)
    model.config.save_pretrained(tmp_path)
    train_tokenizer().save(str(tmp_path / "tokenizer.json"))
    decoder = Case(model, tmp_path).decoder()
    expected = model(torch.tensor([prompt()])).logits[0]
    torch.testing.assert_close(in_pieces(decoder, prompt(), LENGTH), expected, atol=1e-4, rtol=0)
