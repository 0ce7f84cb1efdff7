"""Reads and checks a GGUF file's header: its metadata, and where its tensors are.

Layout: magic, version, two counts, metadata as key, type and value, an entry for each tensor, then the
tensors, each at a multiple of the alignment (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). The
`gguf` package's reader takes seconds for a large vocabulary, and of a file that was cut short it only reports
that some index is out of range.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from model_runtime.api import CorruptCheckpoint, UnsupportedModel

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
ALIGNMENT = 32  # bytes; the format's default
MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class Entry:
    """A tensor in the file: `length` bytes from byte `start`; `shape` is in torch's order."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    start: int
    length: int


@dataclass(frozen=True)
class Header:
    """A file's metadata, and its tensors by the file's own names."""

    metadata: Mapping[str, Any]
    entries: Mapping[str, Entry]


def read_header(path: Path, data: memoryview) -> Header:
    """The header of the file `path` with the content `data`.

    Raises:
        CorruptCheckpoint: it is no GGUF file, damaged or cut short; the message names the first such tensor.
        UnsupportedModel: another version of the format, or an unknown tensor type.
    """
    _check_magic(path, data)
    try:
        cursor = _Cursor(data, len(MAGIC))
        _check_version(path, cursor.scalar("I"))
        tensors, pairs = cursor.scalar("Q"), cursor.scalar("Q")
        metadata = {cursor.text(): cursor.value(cursor.scalar("I")) for _ in range(pairs)}
        described = [
            (cursor.text(), cursor.shape(), cursor.scalar("I"), cursor.scalar("Q")) for _ in range(tensors)
        ]
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if alignment < 8 or alignment & (alignment - 1):
            raise ValueError(f"alignment {alignment}")
    except (struct.error, ValueError, TypeError, EOFError, OverflowError) as error:
        raise CorruptCheckpoint(
            f"{path} has a damaged header ({error}): download or copy it again"
        ) from error
    start = -(-cursor.position // alignment) * alignment
    entries: dict[str, Entry] = {}
    for name, shape, kind, offset in described:
        if name in entries or offset % alignment:
            raise CorruptCheckpoint(
                f"{path} has tensor {name!r} twice or misplaced: download or copy it again"
            )
        entries[name] = _entry(path, name, shape, kind, start + offset)
        _check_end(path, entries[name], len(data))
    return Header(metadata, entries)


def _check_magic(path: Path, data: memoryview) -> None:
    start = bytes(data[:8])
    if start == b"version ":
        raise CorruptCheckpoint(f"{path} is only a git-lfs pointer: run `git lfs pull` in its folder")
    if not start.startswith(MAGIC):
        raise CorruptCheckpoint(f"{path} is no GGUF file: download or copy it again")


def _check_version(path: Path, version: int) -> None:
    if version and not version & 0xFFFF:
        raise UnsupportedModel(f"{path} is a big-endian GGUF file: use the little-endian one")
    if version not in VERSIONS:
        raise UnsupportedModel(
            f"{path} is GGUF version {version}; supported: {', '.join(map(str, VERSIONS))}: "
            "convert it again with a current llama.cpp"
        )


def _entry(path: Path, name: str, shape: tuple[int, ...], kind: int, start: int) -> Entry:
    try:
        known = GGMLQuantizationType(kind)
    except ValueError as error:
        raise UnsupportedModel(f"{path}: tensor {name!r} has type {kind}, which is not supported") from error
    values, size = GGML_QUANT_SIZES[known]
    if shape[-1] % values:
        raise CorruptCheckpoint(
            f"{path}: tensor {name!r} of type {known.name} has rows of {shape[-1]}, no multiple of {values}: "
            "download or copy it again"
        )
    return Entry(name, shape, known, start, math.prod(shape) // values * size)


def _check_end(path: Path, entry: Entry, length: int) -> None:
    if entry.start + entry.length > length:
        raise CorruptCheckpoint(
            f"{path} is cut short: tensor {entry.name!r} ends at byte {entry.start + entry.length}, "
            f"the file at {length}; download or copy it again"
        )


class _Cursor:
    """Reads one value after the other; raises an error rather than reading past the end."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self.position = position

    def scalar(self, kind: str) -> Any:
        return self._numbers(kind, 1)[0]

    def shape(self) -> tuple[int, ...]:
        """A shape, which files store from the innermost dimension outwards."""
        dimensions = self.scalar("I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"{dimensions} dimensions")
        sizes = self._numbers("Q", dimensions)
        if 0 in sizes:
            raise ValueError("a tensor is empty")
        return sizes[::-1]

    def text(self) -> str:
        end = self.scalar("Q") + self.position
        if end > len(self._data):
            raise EOFError("a text ends beyond the file")
        text = str(self._data[self.position : end], "utf-8")
        self.position = end
        return text

    def value(self, kind: int) -> Any:
        """A metadata value: a number, bool or text, or a list of them."""
        if kind == TEXT:
            return self.text()
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind != ARRAY:
            raise ValueError(f"value of type {kind}")
        element, count = self.scalar("I"), self.scalar("Q")
        if element == TEXT:
            return [self.text() for _ in range(count)]
        if element not in SCALARS:
            raise ValueError(f"list of type {element}")
        return list(self._numbers(SCALARS[element], count))

    def _numbers(self, kind: str, count: int) -> tuple[Any, ...]:
        layout = f"<{count}{kind}"
        numbers = struct.unpack_from(layout, self._data, self.position)
        self.position += struct.calcsize(layout)
        return numbers
