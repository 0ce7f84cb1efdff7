"""The same weights in every format: each runtime says the same of them."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch

from benchmarks.gguf_export import export_gguf, reencode_gguf
from benchmarks.runtimes import RUNTIMES, answer
from tests.model_runtime.factory import write_checkpoint
from tests.model_runtime.opening import open_torch

PROMPT = [40, 41, 42, 43, 44, 45]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_checkpoint(tmp_path_factory.mktemp("peers") / "model")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["multi_query"]
    return path


def test_a_gguf_file_has_the_folders_model(folder: Path, tmp_path: Path) -> None:
    export_gguf(folder, tmp_path / "model.gguf", "f32")
    decoders = (open_torch(path) for path in (folder, tmp_path / "model.gguf"))
    logits = [decoder.forward(PROMPT, decoder.new_cache()) for decoder in decoders]
    assert torch.equal(*logits)


def test_a_gguf_file_names_the_sentinels_and_stores_matrices_in_8_bits(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    export_gguf(folder, path, "q8_0", splitting="superbpe")
    reader = gguf.GGUFReader(path)
    ids = {
        name: reader.fields[f"tokenizer.ggml.fim_{name}_token_id"].contents()
        for name in ("pre", "suf", "mid")
    }
    assert ids == {"pre": 1, "suf": 3, "mid": 2}
    assert reader.fields["tokenizer.ggml.pre"].contents() == "superbpe"
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.0.attn_qkv.weight"] == types["token_embd.weight"] == "Q8_0"
    assert types["position_embd.weight"] == types["output_norm.weight"] == "F32"
    assert not path.with_suffix(".unfinished").exists()


def test_ours_and_transformers_give_the_same_tokens_and_reuse_a_prompt(folder: Path) -> None:
    answers = {}
    for name in ("fimble-fp32", "transformers"):
        runtime = RUNTIMES[name](folder, 1)
        generated = answer(runtime, {"ask": "generate", "tokens": PROMPT, "count": 8})
        typed = answer(runtime, {"ask": "typed", "before": [*PROMPT, 46], "after": [*PROMPT, 47, 48]})
        cold = answer(runtime, {"ask": "generate", "tokens": [*PROMPT, 47, 48], "count": 1})
        assert generated["first"] > 0
        assert generated["rest"] > 0
        assert typed["tokens"] == cold["tokens"]
        answers[name] = generated["tokens"] + typed["tokens"]
    assert len(answers["transformers"]) == 9
    assert answers["fimble-fp32"] == answers["transformers"]


def test_a_runtime_that_keeps_nothing_says_so() -> None:
    class Forgetful:
        def generate(self, tokens: object, count: int, first: object) -> list[int]:
            return []

        def passes(self, tokens: object) -> None:
            return None

        def typed(self, before: object, after: object) -> None:
            return None

    found = answer(Forgetful(), {"ask": "typed", "before": [1], "after": [1, 2]})
    assert found == {"seconds": None, "tokens": []}
    assert answer(Forgetful(), {"ask": "passes", "tokens": [1]}) == {}


def test_passes_of_ours_are_timed_beside_the_memory_that_they_read(folder: Path) -> None:
    found = answer(RUNTIMES["fimble-int8"](folder, 1), {"ask": "passes", "tokens": PROMPT})
    assert min(found["one"], found["four"]) > 0
    assert found["step_bytes"] / found["one"] < found["bandwidth"]


@pytest.mark.parametrize("kind", ["q8_0", "f32"])
def test_a_gguf_file_in_another_type_has_the_same_model(folder: Path, tmp_path: Path, kind: str) -> None:
    export_gguf(folder, tmp_path / "model.gguf", "q4_1")
    reencode_gguf(tmp_path / "model.gguf", tmp_path / "other.gguf", kind)
    logits = []
    for name in ("model.gguf", "other.gguf"):
        decoder = open_torch(tmp_path / name)
        logits.append(decoder.forward(PROMPT, decoder.new_cache()))
    assert (logits[1] - logits[0]).norm() <= (0.02 if kind == "q8_0" else 0) * logits[0].norm()
    types = {tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "other.gguf").tensors}
    assert types == {"F32"} | {kind.upper()}
