"""The code around the places where the user was last: a ring of chunks, no two of them alike.

A chunk is large, so that it still helps when the cursor comes back near it. Prompts get excerpts of it, since
their room may be small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lsp_server.context.definitions import words
from lsp_server.context.exclusions import allowed_lines

RING_SIZE: Final = 16
CHUNK_LINES: Final = 64
EXCERPT_LINES: Final = 8

SAME_SHARE: Final = 0.9
"""A chunk with more lines in common with an older one than this share replaces it."""

_MIN_LINES: Final = 2  # an excerpt with fewer lines of code is of no use
_MIN_LINE_LENGTH: Final = 4  # shorter lines only close brackets


@dataclass(frozen=True)
class Excerpt:
    """Some lines of an open document, as they stood when they were taken.

    `lines` are those with more than brackets in them, without indentation; `words` are the words of `text`.
    """

    uri: str
    path: str
    text: str
    lines: frozenset[str]
    words: frozenset[str]

    @classmethod
    def take(cls, uri: str, path: str, lines: Sequence[str]) -> Excerpt | None:
        """An excerpt of `lines` without those that are excluded; None if too little is left."""
        shown = [line.rstrip() for line in allowed_lines(lines)]
        bare = frozenset(text for line in shown if len(text := line.lstrip()) >= _MIN_LINE_LENGTH)
        if len(bare) < _MIN_LINES:
            return None
        text = "\n".join(shown).strip("\n")
        if not text.isascii():  # an editor may send half of a surrogate pair, which can't be encoded
            text = text.encode("utf-8", "replace").decode("utf-8")
        return cls(uri, path, text, bare, frozenset(words(text)))

    def is_in(self, text: str) -> bool:
        """Whether a text has all of its lines: what was deleted since must not come back from a model."""
        return all(line in text for line in self.lines)


@dataclass(frozen=True)
class Chunk:
    """Consecutive excerpts of one document."""

    uri: str
    excerpts: tuple[Excerpt, ...]
    lines: frozenset[str]

    @classmethod
    def take(cls, uri: str, path: str, lines: Sequence[str]) -> Chunk | None:
        """A chunk of `lines` without those that are excluded; None if too little is left."""
        cut = (lines[start : start + EXCERPT_LINES] for start in range(0, len(lines), EXCERPT_LINES))
        excerpts = tuple(excerpt for part in cut if (excerpt := Excerpt.take(uri, path, part)))
        if not excerpts:
            return None
        return cls(uri, excerpts, frozenset().union(*(excerpt.lines for excerpt in excerpts)))


class Ring:
    """The last `RING_SIZE` chunks; iterating gives the newest first."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def __iter__(self) -> Iterator[Chunk]:
        return reversed(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """Add `chunk`, dropping those that it is like, and the oldest if the ring is full."""
        self._chunks = [old for old in self._chunks if similarity(old.lines, chunk.lines) <= SAME_SHARE]
        self._chunks.append(chunk)
        del self._chunks[:-RING_SIZE]

    def forget(self, uri: str) -> None:
        """Drop the chunks of the document `uri`."""
        self._chunks = [chunk for chunk in self._chunks if chunk.uri != uri]


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice's coefficient of two sets, from 0 to 1."""
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 1.0
