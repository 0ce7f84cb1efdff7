"""Opens the file to edit, and saves it. What can't be edited is reported before the screen is drawn."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lsp_server.files import CommandError, read_text
from lsp_server.languages import language_of

MAX_BYTES: Final = 1_000_000


class NotSaved(Exception):
    """The file can't be written; the message says why."""


@dataclass(frozen=True)
class OpenFile:
    """A text to edit, and the `path` to save it to; None if it has none yet.

    `has_bom` says that the file begins with a byte order mark, which isn't in `text`. `cursor` is the offset
    at which the cursor starts, in characters.
    """

    name: str
    path: Path | None = None
    text: str = ""
    has_bom: bool = False
    cursor: int = 0

    @property
    def uri(self) -> str:
        """The URI for LSP."""
        return f"untitled:{self.name}" if self.path is None else self.path.absolute().as_uri()

    @property
    def language(self) -> str:
        """The language id for LSP."""
        return language_of(self.name, self.text) or "plaintext"

    def save(self, text: str) -> None:
        """Write `text` in place, so that the file keeps its owner, mode and links.

        Raises:
            NotSaved: it can't be written.
        """
        assert self.path is not None
        try:
            data = (codecs.BOM_UTF8 if self.has_bom else b"") + text.encode()
            self.path.write_bytes(data)
        except UnicodeEncodeError:
            raise NotSaved(f"{self.name} holds half a character, which can't be saved: delete it") from None
        except OSError as error:
            raise NotSaved(f"{self.name} can't be written ({error.strerror}): your text is safe") from None


def open_file(name: str) -> OpenFile:
    """The file `name`, or a new one if there is none.

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
        raise CommandError(f"{name} is not a regular file: name one")
    if found.st_size > MAX_BYTES:
        limit = MAX_BYTES // 1_000_000
        raise CommandError(f"{name} is larger than {limit} MB: use another editor")
    text = read_text(os.path.join(".", name) if name == "-" else name)  # noqa: PTH118 - Path drops the dot
    if "\0" in text:
        raise CommandError(f"{name} is not text: it holds null bytes")
    if "\r" in text.replace("\r\n", ""):
        raise CommandError(f"{name} has lines that end with a carriage return alone: convert it first")
    with path.open("rb") as file:
        has_bom = file.read(3) == codecs.BOM_UTF8
    return OpenFile(name, path, text, has_bom)
