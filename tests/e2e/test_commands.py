"""The commands as a user runs them: real processes, a real model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.child import FIMBLE, ROOT

DEMO = (sys.executable, str(ROOT / "editor_clients" / "terminal_demo.py"))


def run(*command: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, input=text, capture_output=True, encoding="utf-8", timeout=100, check=False
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "a.py"
    path.write_text("name = '🎉'\nfor index, value in \n", encoding="utf-8")
    return path


def test_printed_and_recorded_completions_are_the_same(checkpoint_folder: Path, source: Path) -> None:
    model = ("--model", str(checkpoint_folder), "--max-tokens=12")
    printed = run(*FIMBLE, "complete", f"{source}:2", *model)
    recorded = run(*FIMBLE, "complete", f"{source}:2", *model, "--json")
    record = json.loads(recorded.stdout)
    assert (printed.returncode, printed.stdout) == (0, record["text"])
    assert printed.stderr == ("" if record["text"] else "fimble: nothing to offer here\n")
    assert record["model"] == checkpoint_folder.name
    assert 1 <= record["decoded_tokens"] <= 12
    assert record["reused_tokens"] < record["prompt_tokens"]


def test_a_prefix_may_come_from_standard_input(checkpoint_folder: Path) -> None:
    result = run(
        *(*FIMBLE, "complete", "--prefix-file", "-", "--model", str(checkpoint_folder), "--json"),
        text="x = '🎉'\nfor ",
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["prompt_tokens"] > 5


def test_a_folder_that_is_no_checkpoint_is_one_line_and_status_2(tmp_path: Path, source: Path) -> None:
    result = run(*FIMBLE, "complete", f"{source}:1", "--model", str(tmp_path))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("fimble: ")
    assert "config.json" in result.stderr


def test_a_reader_that_has_enough_is_no_error(checkpoint_folder: Path, source: Path) -> None:
    command = (*FIMBLE, "complete", f"{source}:2", "--model", str(checkpoint_folder), "--json")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(100) == 1


def test_the_demonstration_shows_ghost_text_and_its_times(checkpoint_folder: Path) -> None:
    result = run(*DEMO, "--model", str(checkpoint_folder))
    assert (result.returncode, result.stderr) == (0, "")
    assert "        self.language = ⟦" in result.stdout
    assert "⟧\n" in result.stdout
    assert f"{checkpoint_folder.name} is ready" in result.stdout
    assert "first text after" in result.stdout


def test_the_demonstration_says_what_is_wrong(tmp_path: Path) -> None:
    result = run(*DEMO, "--model", str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("demo: ")
    assert "config.json" in result.stderr


@pytest.mark.parametrize("words", [("try",), ("try", "a.py")])
def test_the_editor_without_a_terminal_is_one_line_and_status_2(words: tuple[str, ...]) -> None:
    result = run(*FIMBLE, *words)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "needs a terminal" in result.stderr
