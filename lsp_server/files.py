"""Reads and writes the files that are named on the command line, with one-line errors."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CommandError(Exception):
    """The user gave a command that can't be carried out; the message is one line."""


def read_text(name: str) -> str:
    """The text of the file `name`, or of standard input for ``-``."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise CommandError(f"there is no file {name}") from None
    except (IsADirectoryError, PermissionError) as error:
        if Path(name).is_dir():  # a folder is a PermissionError on Windows
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
    """Check before a long computation that its result can be written to `path`, as far as can be told.

    Raises:
        CommandError: it can't.
    """
    with write_errors(path):
        if path.is_dir():
            raise CommandError(f"{path} is a folder: name a file in it")
        if not path.parent.is_dir():
            raise CommandError(f"there is no folder {path.parent} to write {path.name} into: create it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError within the block, which writes `path`, into a CommandError."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror or error}") from error
