"""The editors that are tested, each skipped with one line where it cannot be had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.editors.install_neovim import SERIES, CannotInstall, neovim


@pytest.fixture(scope="session", params=SERIES)
def nvim(request: pytest.FixtureRequest) -> Path:
    """A Neovim's program."""
    try:
        return neovim(request.param)
    except CannotInstall as why:
        pytest.skip(f"no Neovim {request.param}: {why}")


@pytest.fixture(scope="session")
def tmux() -> None:
    """A terminal for editors."""
    if shutil.which("tmux") is None:
        pytest.skip("no terminal for Neovim: install tmux")
