"""`fimble eval` as a user runs it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from lsp_server.cli.evaluation import record, table
from lsp_server.cli.main import main
from model_runtime.api import Evaluation, ModelOptions, Score, SuiteScores
from tests.e2e.child import FIMBLE
from tests.e2e.terminal import TMUX, Terminal
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


@pytest.mark.parametrize("options", [[], ["--fresh"]])
def test_where_answers_cannot_be_kept_the_figures_come_with_a_warning(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "file" / "data"))
    argv = ["eval", "--sample=2", "--suite=single-line", *options]
    assert main(argv, open_backend=lambda _: FakeBackend("x")) == 0
    assert "single-line" in capsys.readouterr().out
    [warning] = [record.getMessage() for record in caplog.records]
    assert "answers are not kept" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("file", "said"),
    [("folder", "folder is a folder"), ("gone/a.json", "no folder gone"), ("file/a", "file")],
)
def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(
    file: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    backend = FakeBackend("x")
    assert main(["eval", "--sample=1", "--json", file], open_backend=lambda _: backend) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n"), backend.requests) == ("", 1, [])
    assert errors.startswith("fimble: ")
    assert said in errors
    assert "mistake" not in errors


def test_figures_are_not_lost_where_their_file_cannot_be_written_any_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()

    def open_backend(_: ModelOptions) -> FakeBackend:
        (tmp_path / "folder").rmdir()
        return FakeBackend("x")

    argv = ["eval", "--sample=1", "--suite=single-line", "--json=folder/a.json"]
    assert main(argv, open_backend) == 2
    out, errors = capsys.readouterr()
    assert "single-line" in out
    assert "can't be written" in errors
    assert errors.count("\n") == 1


@pytest.mark.skipif(TMUX is None, reason="needs tmux")
def test_a_warning_stands_above_the_progress_bar(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = (*FIMBLE, "eval", "--sample=3", "--suite=single-line")
    with Terminal(command, FIMBLE_DATA_DIR=str(tmp_path / "file" / "data")) as terminal:
        terminal.shows("ended with 0")
        first = terminal.screen.splitlines()[0]
        assert first.startswith("fimble:")
        assert "opening" not in terminal.screen


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
