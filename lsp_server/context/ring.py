"""The places that the user has been to, as text: a ring of chunks in which no two are alike.

context ▶ {exclusions, definitions, **ring**}. A chunk is large, so that it is still worth something when the
cursor comes back near it; what is shown of it are pieces, since the rest of a prompt may be small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lsp_server.context.definitions import words
from lsp_server.context.exclusions import showable

CHUNKS: Final = 16
CHUNK_LINES: Final = 64
PIECE_LINES: Final = 8

ALIKE: Final = 0.9
"""Share of lines in common above which a chunk takes the place of an older one."""

_FEWEST_LINES: Final = 2  # with something in them; less than that says nothing
_SHORTEST_LINE: Final = 4  # characters; shorter ones close brackets


@dataclass(frozen=True)
class Piece:
    """Some lines of an open document, as they stood when they were taken.

    `lines` are those that say something, without their indentation; `words` are the names in all of it.
    """

    uri: str
    path: str
    text: str
    lines: frozenset[str]
    words: frozenset[str]

    @classmethod
    def take(cls, uri: str, path: str, lines: Sequence[str]) -> Piece | None:
        """What may be shown of `lines`; None where that is next to nothing."""
        shown = [line.rstrip() for line in showable(lines)]
        bare = frozenset(text for line in shown if len(text := line.lstrip()) >= _SHORTEST_LINE)
        if len(bare) < _FEWEST_LINES:
            return None
        text = "\n".join(shown).strip("\n")
        if not text.isascii():  # an editor may send half of a surrogate pair, which no model can read
            text = text.encode("utf-8", "replace").decode("utf-8")
        return cls(uri, path, text, bare, frozenset(words(text)))


@dataclass(frozen=True)
class Chunk:
    """Neighbouring pieces of one document."""

    uri: str
    pieces: tuple[Piece, ...]
    lines: frozenset[str]

    @classmethod
    def take(cls, uri: str, path: str, lines: Sequence[str]) -> Chunk | None:
        """What may be shown of `lines`; None where that is next to nothing."""
        cut = (lines[start : start + PIECE_LINES] for start in range(0, len(lines), PIECE_LINES))
        pieces = tuple(piece for part in cut if (piece := Piece.take(uri, path, part)))
        return cls(uri, pieces, frozenset().union(*(piece.lines for piece in pieces))) if pieces else None


class Ring:
    """The last `CHUNKS` chunks; iterating gives the newest first."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def __iter__(self) -> Iterator[Chunk]:
        return reversed(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """Put `chunk` in the place of what is like it, or of the oldest one."""
        self._chunks = [old for old in self._chunks if similarity(old.lines, chunk.lines) <= ALIKE]
        self._chunks.append(chunk)
        del self._chunks[:-CHUNKS]

    def forget(self, uri: str) -> None:
        """Drop what is of the document `uri`."""
        self._chunks = [chunk for chunk in self._chunks if chunk.uri != uri]


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """From 0 to 1, how much of both is in both (Dice's coefficient)."""
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 1.0
