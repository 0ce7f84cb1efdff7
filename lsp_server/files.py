"""Text files that the user names on the command line: what is wrong with one is said in one line."""

from __future__ import annotations

import sys
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
