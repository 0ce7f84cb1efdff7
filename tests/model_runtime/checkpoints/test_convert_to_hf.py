"""`--to hf`: what is written is what transformers would have saved, and the same model as the source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model_runtime.api import InvalidRequest, UnsupportedModel
from model_runtime.checkpoints import CannotWrite, convert_to_hf
from model_runtime.decoding import Sampler, generate
from tests.model_runtime.checkpoints.gguf import gguf_writing
from tests.model_runtime.checkpoints.test_loading import write_int8
from tests.model_runtime.factory import make_model, train_tokenizer
from tests.model_runtime.opening import open_torch
from tests.model_runtime.torch_decoder.shapes import FAMILIES

KINDS = gguf.GGMLQuantizationType


def greedy(path: Path, steps: int = 32) -> list[int]:
    decoder = open_torch(path)
    tokens = generate(decoder, decoder.new_cache(), list(range(10, 40)), Sampler(), max_tokens=steps)
    return [token for token in tokens if token is not None]


def logits_of_transformers(folder: Path) -> Tensor:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        logits: Tensor = model(torch.arange(10, 40)[None]).logits[0]
    return logits


def save(folder: Path, family: str, **shards: Any) -> Path:
    make_model(family=family).save_pretrained(folder, **shards)
    train_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_the_same_bit_by_bit_after_conversion(tmp_path: Path, family: str) -> None:
    source = save(tmp_path / "source", family)
    convert_to_hf(source, tmp_path / "target")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("source", "target"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(logits_of_transformers(source), logits_of_transformers(tmp_path / "target"))
    assert (tmp_path / "target" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_shards_and_progress(tmp_path: Path) -> None:
    source = save(tmp_path / "source", "llama", max_shard_size="50KB")
    told: list[float] = []
    convert_to_hf(
        source, tmp_path / "target", progress=lambda share, _: told.append(share), max_shard_bytes=50_000
    )
    assert len(list((tmp_path / "target").glob("*.safetensors"))) > 1
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert torch.equal(logits_of_transformers(source), logits_of_transformers(tmp_path / "target"))


def test_int8_becomes_the_numbers_that_it_represents(tmp_path: Path) -> None:
    source = save(tmp_path / "source", "gpt_bigcode")
    write_int8(source)
    convert_to_hf(source, tmp_path / "target")
    assert "quantization_config" not in json.loads((tmp_path / "target" / "config.json").read_text())
    decoder = open_torch(source)
    ours = decoder.forward(range(10, 40), decoder.new_cache(), "all")
    torch.testing.assert_close(ours, logits_of_transformers(tmp_path / "target"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [KINDS.F32, KINDS.F16, KINDS.Q8_0, KINDS.Q4_0], ids=lambda kind: kind.name)
@pytest.mark.parametrize("architecture", gguf_writing.MODELS)
def test_a_gguf_file_gives_the_same_tokens_as_its_weights_in_safetensors(
    tmp_path: Path, architecture: str, kind: gguf.GGMLQuantizationType
) -> None:
    model = gguf_writing.make_model(architecture)
    path = gguf_writing.write_model(
        tmp_path / "model.gguf", architecture, model, kind, metadata=gguf_vocabulary()
    )
    convert_to_hf(path, tmp_path / "target")
    assert greedy(path) == greedy(tmp_path / "target")
    ours = open_torch(path)
    theirs = logits_of_transformers(tmp_path / "target")
    ours_logits = ours.forward(range(10, 40), ours.new_cache(), "all")
    torch.testing.assert_close(ours_logits, theirs.float(), atol=2e-2 if kind == KINDS.F16 else 1e-4, rtol=0)


def gguf_vocabulary() -> dict[str, Any]:
    """A byte-level vocabulary of 96 tokens."""
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [*(chr(number) for number in range(0x21, 0x21 + 93)), "ab", "<a>", "<b>"],
        "tokenizer.ggml.token_type": [1] * 94 + [3, 3],
        "tokenizer.ggml.merges": ["a b"],
    }


def test_the_source_is_never_written_over(tmp_path: Path) -> None:
    source = save(tmp_path / "source", "gpt_bigcode")
    with pytest.raises(InvalidRequest, match="over itself"):
        convert_to_hf(source, source)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    with pytest.raises(CannotWrite, match="taken"):
        convert_to_hf(source, tmp_path / "taken")


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    source = save(tmp_path / "source", "gpt_bigcode")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"activation_function": "snake"}))
    with pytest.raises(UnsupportedModel, match="snake"):
        convert_to_hf(source, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
