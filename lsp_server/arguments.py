"""What the words on the command line mean: places in files, addresses, texts.

cli ▶ **arguments**. Whatever is wrong with one is a `CommandError`, whose message is one line that says what
to do instead.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lsp_server.document import Document, Position
from lsp_server.languages import language_of

# The file's name may hold colons itself, as in C:\x.py:3:1.
_LOCATION: Final = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")
_LOOPBACK: Final = "127.0.0.1"


class CommandError(Exception):
    """The command can't be carried out as it was given."""


@dataclass(frozen=True)
class Location:
    """FILE:LINE:COL as given, counting from 1; without a column it means the line's end."""

    file: str
    line: int
    column: int | None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read FILE:LINE or FILE:LINE:COL."""
        match = _LOCATION.fullmatch(text)
        if match is None:
            raise CommandError(f"{text!r} says no line: write FILE:LINE or FILE:LINE:COL, as in app.py:12:5")
        line = int(match["line"])
        column = None if match["column"] is None else int(match["column"])
        if line == 0 or column == 0:
            raise CommandError(f"{text!r}: lines and columns count from 1")
        return cls(match["file"], line, column)

    def open(self) -> tuple[Document, Position]:
        """The file, and this place in it."""
        text = read_text(self.file)
        language = language_of(self.file, text)
        document = Document(text, uri=_uri(self.file), language=language, encoding="utf-32")
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


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT, where ``:PORT`` and ``PORT`` mean this machine only."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise CommandError(f"--tcp {text!r} is no address: write PORT or HOST:PORT, as in 127.0.0.1:9257")
    return host.strip("[]") or _LOOPBACK, int(port)


def read_text(name: str) -> str:
    """The text of the file `name`, or of standard input for ``-``."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise CommandError(f"there is no file {name}") from None
    except (IsADirectoryError, PermissionError) as error:
        if Path(name).is_dir():  # Windows says that permission is denied
            raise CommandError(f"{name} is a folder: name a file in it") from None
        raise CommandError(f"{name} can't be read: {error.strerror}") from None
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{name} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8 first"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write `text` into the file `path`.

    Raises:
        CommandError: it can't be written.
    """
    with write_errors(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def check_writable(path: Path) -> None:
    """See, before work whose result goes into the file `path`, that it can be written, as far as can be told.

    Raises:
        CommandError: it can not.
    """
    with write_errors(path):
        if path.is_dir():
            raise CommandError(f"{path} is a folder: name a file in it")
        if not path.parent.is_dir():
            raise CommandError(f"there is no folder {path.parent} to write {path.name} into: make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Say in one line that the file `path` can't be written, where that fails within the block.

    Raises:
        CommandError: it did.
    """
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror or error}") from error


def _uri(name: str) -> str:
    return Path(name).absolute().as_uri()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
