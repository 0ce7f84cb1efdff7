"""The text around a cursor, as a model sees it.

A request is answered for its cursor text alone, however the editor came there, so this is what cached
suggestions are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lsp_server.document import Document, Position, Selection
from lsp_server.settings import Settings
from lsp_server.trimming import Piece
from model_runtime.api import CompletionRequest, Snippet

# Enough to fill the context of a model that runs on a laptop, and so little that a huge file costs nothing.
PREFIX_CHARACTERS: Final = 12_000
SUFFIX_CHARACTERS: Final = 4_000

_OPENERS: Final = (":", "{", "(", "[")


@dataclass(frozen=True)
class CursorText:
    """The text before and after a cursor, within a window, and the snippets that the model sees with it."""

    prefix: str
    suffix: str
    snippets: tuple[Snippet, ...] = ()

    @classmethod
    def at(cls, document: Document, position: Position, selection: Selection | None = None) -> CursorText:
        """The text around `position`; a `selection` in the editor's pop-up counts as accepted."""
        start, end = (selection.where.start, selection.where.end) if selection else (position, position)
        prefix = document.prefix(start, PREFIX_CHARACTERS) + (selection.text if selection else "")
        return cls(model_text(prefix), model_text(document.suffix(end, SUFFIX_CHARACTERS)))

    def is_blank(self, language: str) -> bool:
        """Whether there is no text at all, apart from the comments that git puts into a commit message."""
        if language == "git-commit":
            lines = f"{self.prefix}{self.suffix}".split("\n")
            return all(not line.strip() or line.startswith("#") for line in lines)
        return not self.prefix.strip() and not self.suffix.strip()

    def after(self, piece: Piece) -> CursorText:
        """The text around the cursor once `piece` is accepted here."""
        return replace(self, prefix=self.prefix + piece.text, suffix=self.suffix[piece.covers :])

    def on_next_line(self) -> CursorText:
        """The text around the cursor after Enter, in an editor that indents as most do."""
        line = self.prefix[self.prefix.rfind("\n") + 1 :]
        return replace(self, prefix=f"{self.prefix}\n{indentation_below(line)}")

    def same_text(self, other: CursorText) -> bool:
        """Whether both are the same cursor in the same text."""
        return self.prefix == other.prefix and same_suffix(self.suffix, other.suffix)

    def request(self, document: Document, settings: Settings) -> CompletionRequest:
        """What a model is asked here, in `document`."""
        return CompletionRequest(
            prefix=self.prefix,
            suffix=self.suffix,
            snippets=self.snippets,
            language=document.language,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            session=document.uri,
        )


def indentation_below(line: str) -> str:
    """How the line below `line` is indented, as far as it is known before anything stands there."""
    indent = line[: len(line) - len(line.lstrip())]
    if line.rstrip().endswith(_OPENERS):
        indent += "\t" if indent.startswith("\t") else "    "
    return indent


def same_suffix(one: str, other: str) -> bool:
    """Whether two windows on the text after a cursor show the same text.

    Each ends where its window ends, so the longer one only has to begin with the shorter one.
    """
    if len(one) == len(other):
        return one == other
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= SUFFIX_CHARACTERS // 2 and longer.startswith(shorter)


def model_text(text: str) -> str:
    """`text` as models have seen text: lines end with ``\\n``, and a lone surrogate is a ``?``.

    Not U+FFFD, which a completion may contain if the document does.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    pairs_joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return pairs_joined.encode("utf-8", "replace").decode("utf-8")
