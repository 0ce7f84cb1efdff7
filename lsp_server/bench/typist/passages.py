"""Which passages of a file are typed, and in which order; the rest of the file is there from the start.

Somebody who works on a file adds lines here, an argument there. So there is real text below every passage,
and going from one to the next is a jump.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from lsp_server.document import split_lines

MOST_LINES = 12
INLINE_SHARE = 0.25
"""How many of the passages lie inside a line."""

_WORD = re.compile(r"\w+")
_TRIES = 1000
_OVER = 40
"""Characters more than were asked for that the last passage may bring."""


@dataclass(frozen=True)
class Passage:
    """A part of a file, from `start` up to `end` in characters."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def choose(text: str, characters: int, seed: int) -> list[Passage]:
    """Passages of about `characters` characters together, if `text` has room for that, as they are typed.

    They do not touch. Where there is room for none, the whole text is one.
    """
    draw = random.Random(f"{seed}/passages")
    lines = _Lines(text)
    chosen: list[Passage] = []
    left = characters
    for _ in range(_TRIES):
        if left <= 0:
            break
        inline = draw.random() < INLINE_SHARE
        passage = lines.inside(draw) if inline else lines.some(draw)
        if passage is None or passage.length > left + _OVER:
            continue
        if all(_apart(passage, other) for other in chosen):
            chosen.append(passage)
            left -= passage.length
    return chosen or [Passage(0, len(text))]


def _apart(one: Passage, other: Passage) -> bool:
    return one.end < other.start or other.end < one.start


class _Lines:
    """The lines of a text, with where they begin and where their text ends."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = 0
        for line in split_lines(text):
            self._starts.append(at)
            self._ends.append(at + len(line.rstrip("\r\n")))
            at += len(line)

    def some(self, draw: random.Random) -> Passage | None:
        """A few whole lines, from the end of the line before them on: typing begins with Enter there."""
        count = len(self._starts)
        if count < 3:
            return None
        first = draw.randrange(1, count - 1)
        last = min(first + draw.randrange(MOST_LINES), count - 2)
        if self._blank(first) or self._blank(last):
            return None
        return Passage(self._ends[first - 1], self._ends[last])

    def inside(self, draw: random.Random) -> Passage | None:
        """A few words of a line that goes on behind them."""
        number = draw.randrange(len(self._starts))
        line = self._text[self._starts[number] : self._ends[number]]
        words = list(_WORD.finditer(line))
        if len(words) < 4:
            return None
        first = draw.randrange(1, len(words) - 1)
        last = min(first + draw.randrange(3), len(words) - 2)
        start = self._starts[number]
        return Passage(start + words[first].start(), start + words[last].end())

    def _blank(self, number: int) -> bool:
        return not self._text[self._starts[number] : self._ends[number]].strip()
