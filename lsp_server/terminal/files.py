"""Files that are edited: read as they are, and written back as they were.

commands.try_command ▶ **files** ▶ {arguments, languages}. What can't be edited is told before anything is
drawn.
"""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lsp_server.files import CommandError, read_text
from lsp_server.languages import language_of

MOST_BYTES: Final = 1_000_000


class NotSaved(Exception):
    """A file can't be written; the message says why."""


@dataclass(frozen=True)
class OpenFile:
    """A text that is edited, and where it goes when it is saved: nowhere yet where `path` is None.

    `marked` says that the file begins with a byte order mark, which is no part of the text. `cursor` is where
    the cursor stands at first, in characters.
    """

    name: str
    path: Path | None = None
    text: str = ""
    marked: bool = False
    cursor: int = 0

    @property
    def uri(self) -> str:
        """What a language server calls it."""
        return f"untitled:{self.name}" if self.path is None else self.path.absolute().as_uri()

    @property
    def language(self) -> str:
        """The language that it is written in, as a language server calls it."""
        return language_of(self.name, self.text) or "plaintext"

    def save(self, text: str) -> None:
        """Write `text`, in place, so that the file keeps its owner, its mode and its links.

        Raises:
            NotSaved: it can't be written.
        """
        assert self.path is not None
        try:
            data = (codecs.BOM_UTF8 if self.marked else b"") + text.encode()
            self.path.write_bytes(data)
        except UnicodeEncodeError:
            raise NotSaved(f"{self.name} holds half a character, which no file can hold: delete it") from None
        except OSError as error:
            raise NotSaved(f"{self.name} can't be written ({error.strerror}): nothing is lost here") from None


def open_file(name: str) -> OpenFile:
    """The file `name`, or a new one where there is none.

    Raises:
        CommandError: it can't be edited here.
    """
    path = Path(name)
    try:
        found = path.stat()
    except FileNotFoundError:
        return OpenFile(name, path)
    except (OSError, ValueError) as error:
        raise CommandError(f"{name!r} can't be read: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise CommandError(f"{name} is no ordinary file: name one")
    if found.st_size > MOST_BYTES:
        limit = MOST_BYTES // 1_000_000
        raise CommandError(f"{name} is larger than {limit} MB: open it in an editor that is made for that")
    text = read_text(os.path.join(".", name) if name == "-" else name)  # noqa: PTH118 - Path drops the dot
    if "\0" in text:
        raise CommandError(f"{name} is not text: it holds null bytes")
    if "\r" in text.replace("\r\n", ""):
        raise CommandError(f"{name} has lines that end with a carriage return alone: convert it first")
    with path.open("rb") as file:
        marked = file.read(3) == codecs.BOM_UTF8
    return OpenFile(name, path, text, marked)
