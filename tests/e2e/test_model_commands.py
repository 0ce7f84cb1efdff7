"""`fimble models` and `fimble convert` as a user runs them: real processes, real checkpoints, no network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.child import FIMBLE
from tests.e2e.test_commands import run
from tests.model_runtime.factory import train_tokenizer


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_folder: Path) -> Path:
    monkeypatch.setenv("FIMBLE_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(checkpoint_folder, tmp_path / "mine")
    return tmp_path


def test_models_lists_what_is_here_and_what_could_be(models_folder: Path) -> None:
    result = run(*FIMBLE, "models")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert rows["NAME"][-1] == "HERE"
    assert rows["starcoderbase-1b"][-1] == "no"
    records = [json.loads(line) for line in run(*FIMBLE, "models", "--json").stdout.splitlines()]
    assert {record["name"] for record in records} == set(rows) - {"NAME"}


def test_a_model_in_the_models_folder_is_used_by_its_name(models_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("for index in \n", encoding="utf-8")
    result = run(*FIMBLE, "complete", f"{source}:1", "--model", "mine", "--max-tokens=4", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["decoded_tokens"] >= 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("models", "pull", "starcoderbase-1c"), "did you mean `starcoderbase-1b`?"),
        (("models", "pull", "starcoderbase-1b"), "HF_HUB_OFFLINE"),
        (("complete", __file__ + ":1", "--model", "starcoderbase-1b"), "fimble models pull starcoderbase-1b"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line_with_a_remedy(
    models_folder: Path, arguments: tuple[str, ...], hint: str
) -> None:
    result = run(*FIMBLE, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert hint in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("fimble: ")]) == 1


def test_convert_makes_a_codegen_checkpoint_a_gptj_one(tmp_path: Path) -> None:
    from transformers import CodeGenConfig, CodeGenForCausalLM, GPTJForCausalLM

    config = CodeGenConfig(vocab_size=384, n_positions=64, n_embd=32, n_layer=1, n_head=4, rotary_dim=4)
    CodeGenForCausalLM(config).save_pretrained(tmp_path / "codegen")
    train_tokenizer().save(str(tmp_path / "codegen" / "tokenizer.json"))
    result = run(*FIMBLE, "convert", str(tmp_path / "codegen"), str(tmp_path / "gptj"), "--to", "gptj")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'gptj'}\n")
    loaded: Any = GPTJForCausalLM.from_pretrained(tmp_path / "gptj", output_loading_info=True)
    assert not any(loaded[1][kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_pulling_the_default_model_says_that_it_is_here(models_folder: Path) -> None:
    result = run(*FIMBLE, "models", "pull", "default")
    [listed] = [json.loads(line) for line in run(*FIMBLE, "models", "--json").stdout.splitlines()][:1]
    assert (result.returncode, result.stdout) == (0, f"{listed['path']}\n")
    assert result.stderr == "fimble: `default` comes with fimble: there is nothing to download\n"


@pytest.mark.parametrize("name", ["default", "mine"])
def test_a_model_is_converted_by_its_name(models_folder: Path, tmp_path: Path, name: str) -> None:
    result = run(*FIMBLE, "convert", name, str(tmp_path / "plain"), "--to", "hf")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'plain'}\n")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "plain").iterdir()
    }


def test_convert_never_overwrites(tmp_path: Path, checkpoint_folder: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    result = run(*FIMBLE, "convert", str(checkpoint_folder), str(tmp_path), "--to", "gptj")
    assert result.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
