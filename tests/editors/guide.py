"""What the documentation tells people to write into their configurations, for the tests to write there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
EDITORS: Final = _ROOT / "docs" / "editors.md"
NEOVIM: Final = _ROOT / "editor_clients" / "neovim" / "README.md"


def snippets(page: Path, section: str) -> list[str]:
    """The pieces of code under the heading `section`."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {section}"
    return re.findall(r"^```\S*\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)


def put_on_path(folder: Path, name: str, module: str) -> None:
    """Make a command `name` in `folder` that runs `module`: what is set up wants `fimble` to be on PATH."""
    folder.mkdir(exist_ok=True)
    command = folder / name
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
    command.chmod(0o755)
