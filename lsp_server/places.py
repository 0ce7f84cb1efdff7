"""A cursor as a model sees it: what stands before it and after it.

session ▶ {offers, generation} ▶ **places** ▶ document. Two requests for the same place have the same answer,
however the editor came there, so places are what is compared when an answer is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lsp_server.document import Document, Position, Selection
from lsp_server.settings import Settings
from lsp_server.trim import Piece
from model_runtime.api import CompletionRequest, Snippet

# Enough to fill the context of a model that runs on a laptop, and so little that a huge file costs nothing.
PREFIX_CHARACTERS: Final = 12_000
SUFFIX_CHARACTERS: Final = 4_000

_OPENERS: Final = (":", "{", "(", "[")


@dataclass(frozen=True)
class Place:
    """What stands before and after a cursor, within a window, and what is shown to the model beside it."""

    prefix: str
    suffix: str
    snippets: tuple[Snippet, ...] = ()

    def after(self, piece: Piece) -> Place:
        """Where the cursor is once `piece` is accepted here."""
        return replace(self, prefix=self.prefix + piece.text, suffix=self.suffix[piece.covers :])

    def next_line(self) -> Place:
        """Where the cursor is after Enter, in an editor that indents as most do."""
        line = self.prefix[self.prefix.rfind("\n") + 1 :]
        return replace(self, prefix=f"{self.prefix}\n{indentation_below(line)}")

    def same_text(self, other: Place) -> bool:
        """Whether both are the same cursor in the same text."""
        return self.prefix == other.prefix and same_suffix(self.suffix, other.suffix)


def indentation_below(line: str) -> str:
    """How the line below `line` is indented, as far as it is known before anything stands there."""
    indent = line[: len(line) - len(line.lstrip())]
    if line.rstrip().endswith(_OPENERS):
        indent += "\t" if indent.startswith("\t") else "    "
    return indent


def place_at(document: Document, position: Position, selection: Selection | None = None) -> Place:
    """The place at `position`, taking `selection` for accepted."""
    start, end = (selection.where.start, selection.where.end) if selection else (position, position)
    prefix = document.prefix(start, PREFIX_CHARACTERS) + (selection.text if selection else "")
    return Place(model_text(prefix), model_text(document.suffix(end, SUFFIX_CHARACTERS)))


def completion_request(place: Place, document: Document, settings: Settings) -> CompletionRequest:
    """What a model is asked about `place`, which is in `document`."""
    return CompletionRequest(
        prefix=place.prefix,
        suffix=place.suffix,
        snippets=place.snippets,
        language=document.language,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        session=document.uri,
    )


def same_suffix(one: str, other: str) -> bool:
    """Whether two windows on what follows a cursor are windows on the same text.

    Each ends where its room ended, so the shorter one need only be what the longer one begins with.
    """
    if len(one) == len(other):
        return one == other
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= SUFFIX_CHARACTERS // 2 and longer.startswith(shorter)


def model_text(text: str) -> str:
    """`text` as models have seen text: lines end with ``\\n``, and a surrogate that stands alone is a ``?``.

    Not U+FFFD, which a completion may hold where the document does.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    pairs_joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return pairs_joined.encode("utf-8", "replace").decode("utf-8")
