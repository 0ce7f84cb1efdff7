"""What quantisation costs: measured on the same windows, and on no text that is not there."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import quantization_quality
from benchmarks.quantization_quality import files_of, measure_loss
from model_runtime.evaluation import SourceFile

TEXT = Path(quantization_quality.__file__).read_text(encoding="utf-8")


def test_fewer_bits_cost_little_and_not_nothing(checkpoint_folder: Path) -> None:
    files = [SourceFile("ours", "quantization_quality.py", TEXT)]
    for loss, most in zip(measure_loss(checkpoint_folder, files, count=3, seed=0), (0.01, 0.2), strict=True):
        assert loss.tokens == 3 * 255
        assert 0 < abs(loss.quantized - loss.fp32) < most * loss.fp32
        assert loss.difference == pytest.approx(loss.quantized / loss.fp32 - 1)


def test_held_out_files_are_read_where_there_are_some(tmp_path: Path) -> None:
    file = SourceFile("package", "a.py", TEXT)
    (tmp_path / "heldout.jsonl").write_text(json.dumps(asdict(file)) + "\n", encoding="utf-8")
    assert files_of(tmp_path) == [file]


def test_without_a_folder_the_text_is_the_standard_library() -> None:
    assert "argparse.py" in {file.path for file in files_of(None)}


def test_a_corpus_that_is_missing_is_one_line_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["quantization_quality", "--folder", str(tmp_path)])
    assert quantization_quality.main() == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "heldout.jsonl" in message
    assert "recipes.default_model" in message
