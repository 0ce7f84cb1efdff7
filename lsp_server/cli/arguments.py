"""Parses arguments of the command line: files, positions in them, and addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lsp_server.document import Document, Position
from lsp_server.files import CommandError, read_text
from lsp_server.languages import language_of

# The file's name may hold colons itself, as in C:\x.py:3:1.
_LOCATION: Final = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Location:
    """FILE:LINE:COL as given, counting from 1; without a column it is the line's end."""

    file: str
    line: int
    column: int | None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read FILE:LINE or FILE:LINE:COL."""
        match = _LOCATION.fullmatch(text)
        if match is None:
            raise CommandError(f"{text!r} names no line: write FILE:LINE or FILE:LINE:COL, as in app.py:12:5")
        line = int(match["line"])
        column = None if match["column"] is None else int(match["column"])
        if line == 0 or column == 0:
            raise CommandError(f"{text!r}: lines and columns count from 1")
        return cls(match["file"], line, column)

    def open(self) -> tuple[Document, Position]:
        """The file, and the position in it."""
        document = read_document(self.file)
        if self.line > document.line_count:
            has = _count(document.line_count, "line")
            raise CommandError(f"{self.file} has {has}, so there is no line {self.line}")
        length = len(document.line(self.line - 1))
        if self.column is not None and self.column > length + 1:
            has = _count(length, "character")
            limit = f"the column is at most {length + 1}, not {self.column}"
            raise CommandError(f"line {self.line} of {self.file} has {has}: {limit}")
        column = length if self.column is None else self.column - 1
        return document, Position(self.line - 1, column)


def read_document(name: str) -> Document:
    """The file `name`, or standard input for ``-``, as an editor would open it; columns count characters."""
    uri = "untitled:stdin" if name == "-" else Path(name).absolute().as_uri()
    text = read_text(name)
    return Document(text, uri=uri, language=language_of(name, text), encoding="utf-32")


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; ``:PORT`` and ``PORT`` are on this machine only."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise CommandError(f"--tcp {text!r} is not an address: write PORT or HOST:PORT, as in 127.0.0.1:9257")
    return host.strip("[]") or _LOOPBACK, int(port)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
