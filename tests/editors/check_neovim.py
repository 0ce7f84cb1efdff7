"""The gate of the Neovim plugin's Lua: format, lint and types.

    python -m tests.editors.check_neovim

The programs are brought by `install`; what cannot be had is skipped with one line that says why.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.editors.install import SERIES, emmylua, luacheck, neovim, stylua
from tests.editors.lua_types import findings
from tests.editors.packages import CannotInstall, run

PLUGIN: Final = Path(__file__).parents[2] / "editor_clients" / "neovim"
_LUA: Final = (str(PLUGIN), str(Path(__file__).parent))
_PATIENCE: Final = 60  # seconds


def check_format() -> str:
    """What is not as stylua would write it."""
    return _said([str(stylua()), "--check", "--config-path", str(PLUGIN / "stylua.toml"), *_LUA])


def check_mistakes() -> str:
    """What luacheck has found."""
    return _said([str(luacheck()), "--quiet", "--config", str(PLUGIN / ".luacheckrc"), *_LUA])


def check_types() -> str:
    """What is wrong with types, by what the newest Neovim says of its own."""
    ask = [
        str(neovim(SERIES[-1])),
        "--clean",
        "-es",
        "-c",
        "lua io.stdout:write(vim.env.VIMRUNTIME)",
        "-c",
        "q",
    ]
    found = asyncio.run(asyncio.wait_for(findings(emmylua(), PLUGIN, run(ask)), _PATIENCE))
    return "\n".join(found)


CHECKS: Final[dict[str, Callable[[], str]]] = {
    "format": check_format,
    "lint": check_mistakes,
    "types": check_types,
}


def main() -> int:
    """Check, and print what is found; the exit status."""
    status = 0
    for name, check in CHECKS.items():
        try:
            said = check()
        except CannotInstall as why:
            sys.stdout.write(f"skipped: {name} of the Neovim plugin: {why}\n")
            continue
        sys.stdout.write(f"{said}\n" if said else f"{name} of the Neovim plugin: nothing found\n")
        status |= bool(said)
    return status


def _said(command: list[str]) -> str:
    """What a command prints that has found something."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
