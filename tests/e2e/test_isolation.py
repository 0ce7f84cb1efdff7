"""Python files that lie in the current folder are not run, however they are called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.child import FIMBLE, ROOT
from tests.e2e.terminal import TMUX, Terminal

NAMES = ("json", "linecache", "model_runtime", "random", "sitecustomize", "torch", "typing", "usercustomize")
TRAP = "import os\nos.close(os.open({ran!r}, os.O_CREAT))\nraise SystemExit('this was not to be run')\n"


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A folder with modules that leave the file `ran` when they are imported."""
    folder = tmp_path / "traps"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(TRAP.format(ran=str(folder / "ran")))
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The command as pip installs it."""
    path = tmp_path / "fimble"
    path.write_text("from lsp_server.__main__ import run\nrun()\n")
    return path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False
    )


@pytest.mark.parametrize("installed", [True, False])
def test_the_doctor_runs_nothing_of_the_folder_that_it_is_called_in(
    installed: bool, traps: Path, script: Path
) -> None:
    command = (sys.executable, str(script)) if installed else FIMBLE
    done = run(traps, *command, "doctor", "--model=none")
    assert not (traps / "ran").exists()
    assert (done.returncode, done.stderr) == (1, "")
    assert "ok    devices" in done.stdout
    assert "fail  model" in done.stdout  # which there is none of; all else is well


def test_packages_that_a_variable_names_are_found_in_children_too(
    traps: Path, script: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('the torch of PYTHONPATH')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, str(script), "doctor", "--model=none"]
    done = subprocess.run(command, cwd=traps, env=environment, capture_output=True, timeout=100, check=False)
    assert b"can't be imported (ImportError: the torch of PYTHONPATH)" in done.stdout


@pytest.mark.skipif(TMUX is None, reason="tmux is not installed: it is the terminal of this test")
def test_the_editor_in_the_terminal_and_its_server_run_nothing_of_the_folder_that_they_are_called_in(
    traps: Path, script: Path
) -> None:
    words = ["sh", "-c", 'cd "$0" && "$@"', str(traps), sys.executable, str(script)]
    with Terminal([*words, "try", "--model=none"]) as terminal:
        terminal.shows("error", "`none`")
        terminal.keys("C-q")
        terminal.shows("ended with 0")
    assert not (traps / "ran").exists()
