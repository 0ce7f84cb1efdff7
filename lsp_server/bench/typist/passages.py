"""Chooses the passages of a file to type, and their order; the rest of the file exists from the start.

This simulates editing an existing file: a few lines here, an argument there. So there is real text below the
passages, and the cursor jumps from one to the next.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from lsp_server.document import split_lines

MAX_LINES = 12
INLINE_SHARE = 0.25
"""The share of passages that are inside a line."""

_WORD = re.compile(r"\w+")
_TRIES = 1000
_MAX_EXCESS = 40
"""By how many characters the last passage may exceed the requested total."""


@dataclass(frozen=True)
class Passage:
    """A part of a file, as offsets in characters; `end` is exclusive."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def choose_passages(text: str, characters: int, seed: int) -> list[Passage]:
    """Choose passages with about `characters` characters in total, or fewer if `text` is short.

    They are in typing order and do not touch each other. If none fits, the whole text is one passage.
    """
    draw = random.Random(f"{seed}/passages")
    lines = _Lines(text)
    chosen: list[Passage] = []
    left = characters
    for _ in range(_TRIES):
        if left <= 0:
            break
        inline = draw.random() < INLINE_SHARE
        passage = lines.words_in_line(draw) if inline else lines.whole_lines(draw)
        if passage is None or passage.length > left + _MAX_EXCESS:
            continue
        if all(_do_not_touch(passage, other) for other in chosen):
            chosen.append(passage)
            left -= passage.length
    return chosen or [Passage(0, len(text))]


def _do_not_touch(one: Passage, other: Passage) -> bool:
    return one.end < other.start or other.end < one.start


class _Lines:
    """The lines of a text, with the offsets of their starts and of their ends before the line break."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = 0
        for line in split_lines(text):
            self._starts.append(at)
            self._ends.append(at + len(line.rstrip("\r\n")))
            at += len(line)

    def whole_lines(self, draw: random.Random) -> Passage | None:
        """A few whole lines, starting at the end of the line before: typing begins with Enter."""
        count = len(self._starts)
        if count < 3:
            return None
        first = draw.randrange(1, count - 1)
        last = min(first + draw.randrange(MAX_LINES), count - 2)
        if self._blank(first) or self._blank(last):
            return None
        return Passage(self._ends[first - 1], self._ends[last])

    def words_in_line(self, draw: random.Random) -> Passage | None:
        """A few words inside a line, with more text after them."""
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
