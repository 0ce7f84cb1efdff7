"""The pinned list of packages, and fetching them by name with pip.

pip uses whatever index it is configured for. It is called for a few packages at a time, and only for those
that are missing, so that an interrupted run can be resumed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

HELD_OUT_MARK = "held out"
SOURCE_MARK = "sdist"
BATCH = 20  # packages in one call of pip


@dataclass(frozen=True)
class Package:
    """A pinned requirement and its marks."""

    name: str
    version: str
    held_out: bool = False
    from_source: bool = False


def read_package_list(path: Path) -> list[Package]:
    """The pinned requirements of `packages.txt`, with their marks ``# held out`` and ``# sdist``.

    Raises:
        ValueError: a line is not ``name==version``.
    """
    packages = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        requirement, _, marks = line.partition("#")
        if not requirement.strip():
            continue
        name, pinned, version = requirement.strip().partition("==")
        if not pinned or not version:
            raise ValueError(f"{path}, line {number}: pin the package, as in `name==1.0`")
        packages.append(Package(name, version, HELD_OUT_MARK in marks, SOURCE_MARK in marks))
    return packages


def fetch(packages: Iterable[Package], folder: Path) -> dict[Package, Path]:
    """Each package's archive in `folder`; missing ones are downloaded.

    Raises:
        subprocess.CalledProcessError: pip could not fetch one; it has said why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packages = list(packages)
    found = _archives(folder)
    for from_source in (False, True):
        kind = [package for package in packages if package.from_source == from_source]
        missing = [package for package in kind if _key(package.name, package.version) not in found]
        batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
        for batch in track(batches, description="Fetching packages", disable=not batches):
            _download(batch, folder, from_source)
    found = _archives(folder)
    return {package: found[_key(package.name, package.version)] for package in packages}


def normalized(name: str) -> str:
    """A project's name as PEP 503 normalizes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _download(packages: Iterable[Package], folder: Path, from_source: bool) -> None:
    kind = "--no-binary=:all:" if from_source else "--only-binary=:all:"
    pip = [sys.executable, "-I", "-m", "pip"]  # -I: no `pip.py` or `json.py` of the current folder
    command = [*pip, "download", "--quiet", "--no-deps", kind, "--dest", str(folder)]
    subprocess.run([*command, *(f"{p.name}=={p.version}" for p in packages)], check=True)


def _archives(folder: Path) -> dict[tuple[str, str], Path]:
    """The archives in a folder by their project's name and version."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".whl":
            name, version = path.name.split("-")[:2]
        elif path.name.endswith(".tar.gz"):
            name, _, version = path.name.removesuffix(".tar.gz").rpartition("-")
        else:
            continue
        found[_key(name, version)] = path
    return found


def _key(name: str, version: str) -> tuple[str, str]:
    """Wheels spell `1.0+cpu` as `1.0_cpu`."""
    return normalized(name), re.sub(r"[^a-z0-9]+", ".", version.lower())
