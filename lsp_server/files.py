"""Text files that the user names on the command line: what is wrong with one is said in one line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CommandError(Exception):
    """The command can't be carried out as it was given."""


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
