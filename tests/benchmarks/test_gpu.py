"""The GPU benchmarks at toy size on the CPU: all of their code runs."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import main, sections


def test_all_sections_run_at_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert main(["--toy", "--out", str(out)]) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    failed = [line for line in written["lines"] if line["what"] == "FAILED" or "DIFFER" in line["note"]]
    assert not failed
    assert {line["section"] for line in written["lines"]} == {name for name, _, _ in sections()}
    exact = [line for line in written["lines"] if line["what"].startswith("recorded against eager")]
    assert len(exact) == 2
    assert all(line["figure"] < 1e-2 for line in exact)
    equal = {line["what"]: line["figure"] for line in written["lines"] if line["section"] == "equality"}
    assert {equal[what] for what in equal if what.endswith("fp32")} == {100.0}
    assert "share of bandwidth" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton compiles for the GPU here")
@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("section", ["CodeGen-16B int8", "products", "sizes"])
def test_kernels_run_in_the_interpreter(section: str, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert main(["--toy", "--interpret", "--only", section, "--out", str(out)]) == 0
    lines = [
        line for line in json.loads(out.read_text(encoding="utf-8"))["lines"] if line["section"] == section
    ]
    assert len(lines) > 5
    assert not [line for line in lines if line["what"] == "FAILED" or "DIFFER" in line["note"]]
    if section != "CodeGen-16B int8":
        assert any("Triton int8" in line["what"] for line in lines)


def test_what_cannot_be_measured_is_refused_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        assert main([]) == 2
        assert "use --toy" in capsys.readouterr().out
        assert main(["--interpret"]) == 2


def test_sections_that_do_not_fit_into_the_time_are_skipped_and_reported(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert main(["--toy", "--minutes", "0.05", "--out", str(out)]) == 0
    lines = json.loads(out.read_text(encoding="utf-8"))["lines"]
    left_out = [line["section"] for line in lines if "no time" in line["note"]]
    assert "sizes" in left_out
    assert "bandwidth" not in left_out
