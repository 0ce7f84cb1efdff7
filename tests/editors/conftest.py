"""The editors that are tested, each skipped with one line where it cannot be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tests.editors.install import SERIES, neovim
from tests.editors.packages import CannotInstall

MISSING = pytest.StashKey[set[str]]()


def skip(request: pytest.FixtureRequest, why: str) -> NoReturn:
    """Skip a test for want of an editor, which is said once at the end."""
    request.config.stash[MISSING].add(why)
    pytest.skip(why)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MISSING] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    missing = config.stash[MISSING]
    for why in sorted(missing):
        terminalreporter.write_line(f"skipped: {why}")


@pytest.fixture(scope="session", params=SERIES)
def nvim(request: pytest.FixtureRequest) -> Path:
    """A Neovim's program."""
    try:
        return neovim(request.param)
    except CannotInstall as why:
        skip(request, f"no Neovim {request.param}: {why}")


@pytest.fixture(scope="session")
def tmux(request: pytest.FixtureRequest) -> None:
    """A terminal for editors."""
    if shutil.which("tmux") is None:
        skip(request, "no terminal for editors: install tmux")
