"""`fimble eval` as a user runs it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from lsp_server.cli.evaluation import record, table
from lsp_server.cli.main import main
from model_runtime.api import Evaluation, Score, SuiteScores
from tests.lsp_server.fakes import INFO, FakeBackend


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of tests are not kept in the user's own folder."""
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def test_it_prints_a_table_and_writes_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out = tmp_path / "heldout.jsonl"
    line = {"package": "p", "path": "a.py", "text": "if ready:\n    go()\n    stop()\n"}
    held_out.write_text(json.dumps(line) + "\n", encoding="utf-8")
    argv = ["eval", "--sample=2", "--held-out", str(held_out), "--json=figures.json"]
    assert main(argv, open_backend=lambda _: FakeBackend("    return 1\n")) == 0
    shown = capsys.readouterr().out
    for suite in ("single-line", "multi-line", "random-span", "line-start", "mid-line", "block", "left-to"):
        assert suite in shown
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert [suite["suite"] for suite in figures["suites"]][-1] == "left-to-right"
    assert figures["suites"][0]["scores"]["fake"]["passed"] is None


def test_without_held_out_packages_the_other_suites_are_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--sample=1"], open_backend=lambda _: FakeBackend("x")) == 0
    shown = capsys.readouterr().out
    assert "single-line" in shown
    assert "mid-line" not in shown


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--sample=0"], "at least 1"),
        (["--suite=mid-line"], "heldout.jsonl"),
        (["--held-out=nowhere.jsonl", "--suite=block"], "nowhere.jsonl"),
        (["--against=no-such-model"], "no-such-model"),
    ],
)
def test_what_cannot_be_asked_is_one_line_with_what_to_do(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *argv], open_backend=lambda _: FakeBackend("x")) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_the_table_shows_a_floor_that_looks_like_markup_as_it_is() -> None:
    scores = {"default": Score(0.25, 0.125, 0.5), "floor": Score(0.1, 0.1)}
    found = Evaluation((INFO,), 0, (SuiteScores("single-line", 10, 100, scores, "x[bold]"),))
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table(found))
    text = console.export_text()
    assert "x[bold]" in text
    assert "10 of 100" in text
    assert "25.0%" in text
    assert record(found)["suites"][0]["scores"]["default"]["passed"] == 0.5
