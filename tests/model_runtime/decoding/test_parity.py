"""Our decoder against transformers' own model on the same random checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_runtime.checkpoints import load
from model_runtime.decoding import Decoder, Sampler, generate
from tests.model_runtime.factory import make_model, write_checkpoint

LENGTH = 45

SHAPES: dict[str, dict[str, Any]] = {
    "multi-query": {},
    "multi-head": {"multi_query": False},
    "one head of 32": {"n_head": 1},
    "heads of 64": {"n_embd": 192, "n_head": 3},
    "heads of 128, an odd vocabulary": {"n_embd": 256, "vocab_size": 391},
    "multi-head, heads of 64": {"n_embd": 128, "multi_query": False, "vocab_size": 385},
    "scores not scaled": {"scale_attn_weights": False},
    "softmax not asked for in fp32": {
        "attention_softmax_in_fp32": False,
        "scale_attention_softmax_in_fp32": False,
    },
    "a narrow MLP": {"n_inner": 50},
    "a wide MLP, one layer": {"n_inner": 200, "n_layer": 1},
    "another activation": {"activation_function": "gelu"},
    "an untied head": {"tie_word_embeddings": False},
    "another epsilon": {"layer_norm_epsilon": 1e-2},
}


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    chosen: dict[str, Any] = request.param
    return chosen


def prompt(seed: int = 1) -> list[int]:
    ids: list[int] = torch.randint(5, 384, (LENGTH,), generator=torch.Generator().manual_seed(seed)).tolist()
    return ids


def in_pieces(decoder: Decoder, tokens: list[int], size: int) -> Tensor:
    cache = decoder.new_cache()
    pieces = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    return torch.cat([decoder.forward(piece, cache, "all") for piece in pieces])


@torch.inference_mode()
def test_logits_equal_those_of_transformers_however_they_are_computed(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    write_checkpoint(tmp_path, ascii_only=False, **shape)
    decoder = load(tmp_path, device=torch.device("cpu"), dtype=torch.float32).decoder
    expected = make_model(**shape)(torch.tensor([prompt()])).logits[0]
    for size in (LENGTH, 16, 7, 1):
        torch.testing.assert_close(in_pieces(decoder, prompt(), size), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_greedy_tokens_equal_those_of_transformers(tmp_path: Path, shape: dict[str, Any]) -> None:
    write_checkpoint(tmp_path, ascii_only=False, **shape)
    decoder = load(tmp_path, device=torch.device("cpu"), dtype=torch.float32).decoder
    model: Any = make_model(**shape)
    output = model.generate(torch.tensor([prompt()]), max_new_tokens=32, do_sample=False)
    expected = output[0, LENGTH:].tolist()
    ours = generate(decoder, decoder.new_cache(), prompt(), Sampler(), max_tokens=32, piece=LENGTH)
    assert list(ours) == expected


@torch.inference_mode()
def test_the_last_positions_logits_are_the_last_of_all(checkpoint_folder: Path) -> None:
    decoder = load(checkpoint_folder, device=torch.device("cpu"), dtype=torch.float32).decoder
    every = decoder.forward(prompt(), decoder.new_cache(), "all")
    last = decoder.forward(prompt(), decoder.new_cache())
    torch.testing.assert_close(last, every[-1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.inference_mode()
def test_half_precision_stays_near_full_precision(checkpoint_folder: Path, dtype: torch.dtype) -> None:
    cpu = torch.device("cpu")
    full = load(checkpoint_folder, device=cpu, dtype=torch.float32).decoder
    half = load(checkpoint_folder, device=cpu, dtype=dtype).decoder
    expected = full.forward(prompt(), full.new_cache())
    assert half.dtype == dtype
    for size in (LENGTH, 1):
        last = in_pieces(half, prompt(), size)[-1].float()
        assert (last - expected).norm() < 0.05 * expected.norm()


Save = Callable[[Path], None]


def as_bin(folder: Path) -> None:
    torch.save(make_model().state_dict(), folder / "pytorch_model.bin")
    make_model().config.save_pretrained(folder)


def as_shards(folder: Path) -> None:
    make_model().save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def as_bin_shards(folder: Path) -> None:
    import json

    state = make_model().state_dict()
    shards = {"pytorch_model-1.bin": list(state)[::2], "pytorch_model-2.bin": list(state)[1::2]}
    for shard, names in shards.items():
        torch.save({name: state[name] for name in names}, folder / shard)
    index = {"weight_map": {name: shard for shard, names in shards.items() for name in names}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    make_model().config.save_pretrained(folder)


@pytest.mark.parametrize("save", [as_bin, as_shards, as_bin_shards])
@torch.inference_mode()
def test_logits_are_the_same_from_every_kind_of_file(
    tmp_path: Path, checkpoint_folder: Path, save: Save
) -> None:
    save(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((checkpoint_folder / "tokenizer.json").read_bytes())
    decoder = load(tmp_path, device=torch.device("cpu"), dtype=torch.float32).decoder
    expected = make_model()(torch.tensor([prompt()])).logits[0]
    torch.testing.assert_close(in_pieces(decoder, prompt(), LENGTH), expected, atol=1e-4, rtol=0)
