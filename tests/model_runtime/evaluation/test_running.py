"""Programs run within limits, and succeed only if they run to their end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from model_runtime.evaluation.running import runs_successfully


def test_a_program_that_runs_to_its_end_succeeds() -> None:
    assert runs_successfully("assert 1 + 1 == 2\nprint('whatever')\n")


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 + 1 == 3\n",
        "this is no Python\n",
        "import sys\nsys.exit(0)\n",
        "import os\nos._exit(0)\n",
        "raise KeyboardInterrupt\n",
        "import sys\nprint(sys.argv)\nsys.exit()\n",
        "\ud800",
    ],
)
def test_a_program_that_fails_or_exits_early_does_not_succeed(program: str) -> None:
    assert not runs_successfully(program)


def test_an_endless_program_is_killed() -> None:
    assert not runs_successfully("while True:\n    pass\n", seconds=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited where the system can")
def test_a_program_that_takes_too_much_memory_fails() -> None:
    assert not runs_successfully("x = bytearray(4 << 30)\n", megabytes=512)
    assert runs_successfully("x = bytearray(1 << 20)\n", megabytes=512)


def test_the_files_that_a_program_writes_are_deleted(tmp_path: Path) -> None:
    place = tmp_path / "where.txt"
    program = (
        f"import os, pathlib\npathlib.Path({str(place)!r}).write_text(os.getcwd())\nopen('a.txt', 'w')\n"
    )
    assert runs_successfully(program)
    folder = Path(place.read_text())
    assert folder.name.startswith("fimble-eval-")
    assert not folder.exists()


def test_a_program_does_not_see_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIMBLE_SECRET", "1")
    assert runs_successfully("import os\nassert 'FIMBLE_SECRET' not in os.environ\n")
