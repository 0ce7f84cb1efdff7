"""Programs run within limits, and only one that comes to its end has run through."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from model_runtime.evaluation.running import runs_through


def test_a_program_that_ends_well_has_run_through() -> None:
    assert runs_through("assert 1 + 1 == 2\nprint('whatever')\n")


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
def test_a_program_that_fails_or_leaves_early_has_not(program: str) -> None:
    assert not runs_through(program)


def test_a_program_that_goes_on_for_ever_is_ended() -> None:
    assert not runs_through("while True:\n    pass\n", seconds=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited where the system can")
def test_a_program_that_takes_all_memory_is_ended() -> None:
    assert not runs_through("x = bytearray(4 << 30)\n", megabytes=512)
    assert runs_through("x = bytearray(1 << 20)\n", megabytes=512)


def test_what_a_program_writes_is_gone_with_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "where.txt"
    program = (
        f"import os, pathlib\npathlib.Path({str(place)!r}).write_text(os.getcwd())\nopen('a.txt', 'w')\n"
    )
    assert runs_through(program)
    folder = Path(place.read_text())
    assert folder.name.startswith("fimble-eval-")
    assert not folder.exists()


def test_a_program_does_not_see_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIMBLE_SECRET", "1")
    assert runs_through("import os\nassert 'FIMBLE_SECRET' not in os.environ\n")
