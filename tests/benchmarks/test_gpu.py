"""The GPU benchmarks at toy size on the CPU: all of their code runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu import main, sections


def test_all_sections_run_at_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert main(["--toy", "--out", str(out)]) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    failed = [line for line in written["lines"] if line["what"] == "FAILED" or "DIFFER" in line["note"]]
    assert not failed
    assert {line["section"] for line in written["lines"]} == {name for name, _, _ in sections()}
    equal = {line["what"]: line["figure"] for line in written["lines"] if line["section"] == "equality"}
    assert {equal[what] for what in equal if what.endswith("fp32")} == {100.0}
    assert "share of bandwidth" in capsys.readouterr().out


def test_sections_that_do_not_fit_into_the_time_are_skipped_and_reported(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert main(["--toy", "--minutes", "0.05", "--out", str(out)]) == 0
    lines = json.loads(out.read_text(encoding="utf-8"))["lines"]
    left_out = [line["section"] for line in lines if "no time" in line["note"]]
    assert "sizes" in left_out
    assert "bandwidth" not in left_out
