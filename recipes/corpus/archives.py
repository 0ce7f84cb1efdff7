"""The Python files and the metadata of a wheel or an sdist, read without running any of it."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from pathlib import Path

Members = Iterator[tuple[str, bytes]]


@contextmanager
def open_archive(archive: Path) -> Iterator[tuple[Message, Members]]:
    """A package's metadata, and the path and content of its Python files, in order of path.

    Raises:
        ValueError: it has no metadata.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = sorted(wheel.namelist())
            metadata = _only(archive, (name for name in names if name.endswith(".dist-info/METADATA")))
            members = ((name, wheel.read(name)) for name in names if name.endswith(".py"))
            yield message_from_bytes(wheel.read(metadata)), members
    else:
        with tarfile.open(archive) as source:
            files = sorted((file for file in source if file.isfile()), key=lambda file: file.name)
            inside = {file.name.partition("/")[2]: file for file in files}  # without the top-level folder
            metadata = _only(archive, (name for name in inside if name == "PKG-INFO"))
            members = ((name, _read(source, inside[name])) for name in inside if name.endswith(".py"))
            yield message_from_bytes(_read(source, inside[metadata])), members


def _only(archive: Path, names: Iterator[str]) -> str:
    name = next(names, None)
    if name is None:
        raise ValueError(f"{archive} has no metadata: is it a wheel or an sdist?")
    return name


def _read(source: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = source.extractfile(member)
    assert file is not None, "only files are listed"
    return file.read()
