"""Where fimble keeps its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.folders import default_data_folder


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, Path("/data/fimble")),
        ("linux", {}, Path.home() / ".local/share/fimble"),
        ("darwin", {}, Path.home() / "Library/Application Support/fimble"),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/fimble")),
        ("win32", {"LOCALAPPDATA": "/local", "FIMBLE_DATA_DIR": "~/mine"}, Path.home() / "mine"),
    ],
)
def test_data_is_kept_where_the_system_keeps_it_unless_told_otherwise(
    platform: str, environment: dict[str, str], folder: Path
) -> None:
    assert default_data_folder(environment, platform) == folder
