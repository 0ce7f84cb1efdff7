"""Where fimble keeps its data and its models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from model_runtime.folders import data_folder, models_folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIMBLE_DATA_DIR", "FIMBLE_MODELS_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("system", "folder"),
    [
        (Unix, Path.home() / ".local/share/fimble"),
        (MacOS, Path.home() / "Library/Application Support/fimble"),
        pytest.param(
            Windows,
            Path(os.environ.get("LOCALAPPDATA", "")) / "fimble",
            marks=pytest.mark.skipif(sys.platform != "win32", reason="Windows itself is asked"),
        ),
    ],
)
def test_data_is_kept_where_the_system_keeps_it(system: type[PlatformDirsABC], folder: Path) -> None:
    assert data_folder(system) == folder


def test_data_is_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.home() / "xdg"))
    assert data_folder(Unix) == Path.home() / "xdg" / "fimble"
    monkeypatch.setenv("FIMBLE_DATA_DIR", "~/mine")
    assert data_folder(Unix) == Path.home() / "mine"


def test_models_are_kept_among_the_data_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert models_folder() == data_folder() / "models"
    monkeypatch.setenv("FIMBLE_MODELS_DIR", "~/models")
    assert models_folder() == Path.home() / "models"
