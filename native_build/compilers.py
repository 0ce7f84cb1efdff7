"""Finds the C++ compiler and runs it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NativeBuildError(Exception):
    """The library can't be built. The message is one line; `output` is what the compiler said."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class NothingToBuild(NativeBuildError):
    """There is no compiler, or nothing to compile: no mistake in a source."""


@dataclass(frozen=True)
class Compiler:
    command: tuple[str, ...]
    environment: dict[str, str] | None = None
    """None: this process's."""

    @property
    def is_msvc(self) -> bool:
        return Path(self.command[0]).stem.lower() in ("cl", "clang-cl")

    def run(self, arguments: Sequence[str]) -> None:
        """Raise NativeBuildError, with the first line that tells of an error, unless it succeeds."""
        try:
            ran = subprocess.run(
                [*self.command, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise NothingToBuild(f"{self.command[0]} can't be run: {error.strerror}") from error
        if ran.returncode:
            lines = [line.strip() for line in ran.stdout.splitlines() if "error" in line.lower()]
            reason = lines[0] if lines else f"exit status {ran.returncode}"
            raise NativeBuildError(f"{Path(self.command[0]).name} failed: {reason}", ran.stdout)


def find_compiler(machine: str) -> Compiler:
    """CXX if it is set, else the platform's own; raises NothingToBuild."""
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        # Windows' paths have spaces and backslashes, which a shell's rules would take apart.
        return Compiler((chosen,) if shutil.which(chosen) else tuple(shlex.split(chosen)))
    if os.name == "nt":
        return _visual_studio("x64" if machine == "x86_64" else "arm64")
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return Compiler((found,))
    raise NothingToBuild("no C++ compiler was found: install one, or set CXX")


def _visual_studio(target: str) -> Compiler:
    """MSVC of the prompt we were started from, else of the newest Visual Studio or Build Tools."""
    if found := shutil.which("cl"):
        return Compiler((found,))
    programs = Path(os.environ.get("ProgramFiles(x86)", r"C:\Program Files (x86)"))  # noqa: SIM112
    finder = programs / "Microsoft Visual Studio" / "Installer" / "vswhere.exe"
    tools = "Microsoft.VisualStudio.Component.VC.Tools." + {"x64": "x86.x64", "arm64": "ARM64"}[target]
    try:
        query = [
            str(finder),
            "-latest",
            "-products",
            "*",
            "-requires",
            tools,
            "-property",
            "installationPath",
            "-utf8",
        ]
        folder = subprocess.run(query, capture_output=True, encoding="utf-8", check=True).stdout.strip()
        script = Path(folder) / "VC" / "Auxiliary" / "Build" / "vcvarsall.bat"
        # The compiler works only in the environment that this script makes; /u has `set` print UTF-16.
        made = subprocess.run(f'cmd /u /c "{script}" {target} && set', capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NothingToBuild(
            "no C++ compiler was found: install Visual Studio's Build Tools, or set CXX"
        ) from error
    pairs = (line.split("=", 1) for line in made.decode("utf-16-le", "replace").splitlines() if "=" in line)
    environment = {name.upper(): value for name, value in pairs}
    if not (found := shutil.which("cl", path=environment.get("PATH"))):
        raise NothingToBuild(
            "Visual Studio's C++ compiler was not found: install its Build Tools, or set CXX"
        )
    return Compiler((found,), environment)
