"""Notices what is said again: by a line that runs in circles, and by one that others have said.

trim ▶ **repetition**. A small model that has lost its way writes ``a, a, a, a, a, …`` until something
stops it; two rounds are left in, since the first repetition is often meant. And it repeats lines: those of
the file around the cursor, or its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_SHORTEST: Final = 3
_LONGEST: Final = 40
_LONG: Final = 10  # from here on, fewer rounds are enough
_LONE_WORD: Final = re.compile(r"\w*:?")  # try:, else:, pass
_WORD: Final = re.compile(r"\w*")
_ENDLESS: Final = 100  # white space goes on for longer in no line that is meant
_ROUNDS_OF_SHORT: Final = 6
_ROUNDS_OF_LONG: Final = 4


class LoopDetector:
    """Follows one line, character by character.

    `held` is how many characters at its end belong to a third or later round of something, and so would be
    dropped if it turned out to be a loop.
    """

    def __init__(self) -> None:
        self.held = 0
        self._line = ""
        self._runs: dict[int, int] = {}  # by period: how long the line's end has been repeating itself

    def feed(self, piece: str) -> int | None:
        """Take more of the line; the length to cut the line to once it is a loop, else None."""
        for character in piece:
            self._line += character
            if self._step(character):
                return len(self._line) - self.held
        return None

    def _step(self, character: str) -> bool:
        self.held = 0
        looping = False
        end = len(self._line) - 1
        if self._line[-_ENDLESS:].isspace() and end >= _ENDLESS:
            self.held = _ENDLESS
            return True
        runs: dict[int, int] = {}
        place = self._line.rfind(character, max(0, end - _LONGEST), max(0, end - _SHORTEST + 1))
        while place >= 0:
            period = end - place
            run = runs[period] = self._runs.get(period, 0) + 1
            if run > period and any(map(str.isalnum, self._line[-period:])):
                self.held = max(self.held, run - period)
                rounds = _ROUNDS_OF_LONG if period >= _LONG else _ROUNDS_OF_SHORT
                looping = looping or run >= (rounds - 1) * period
            place = self._line.rfind(character, max(0, end - _LONGEST), place)
        self._runs = runs
        return looping


class LineEchoes:
    """Knows the lines that it would be a repetition to write next.

    These are the line `below` the cursor, and what is nearly the same; the line just written, and what is
    nearly the same, or at first the last line `above` the cursor; and every line that was written twice.
    Where two neighbours around the cursor are nearly the same themselves, they belong to a table, and another
    row of it is no repetition.
    """

    def __init__(self, above: Sequence[str], below: Sequence[str]) -> None:
        self._below = (*below, "")
        self._passed = 0  # of the lines below
        self._last = above[-1].strip() if above else ""
        around = (*above[-2:], *below[:2])
        self._in_table = any(similar(one, other) for one, other in pairwise(around))
        self._written: Counter[str] = Counter()
        self._tired: set[str] = set()
        self._still_near: list[str] = []
        self._begin_line()

    def add(self, line: str) -> None:
        """`line` has been written."""
        self._last = line.strip()
        self._written[self._last] += 1
        self._passed = 0
        self._begin_line()

    def pass_by(self) -> None:
        """A line that is the one below the cursor was written, but it is what follows that counts."""
        self._passed = min(self._passed + 1, len(self._below) - 1)

    def has(self, line: str) -> bool:
        """Whether `line` is a repetition."""
        below = self._below[self._passed]
        if below and (
            line.rstrip() == below or (_same_indentation(line, below) and self._is_near(line, below))
        ):
            return True
        return line.strip() in self._tired or (bool(self._written) and self._is_near(line, self._last))

    def may_have(self, partial: str) -> bool:
        """Whether a line that begins with `partial` may turn out to be a repetition.

        Of one line, ask with more and more of it: what was ruled out stays so.
        """
        if self._below[self._passed].startswith(partial.rstrip()):
            return True
        body = partial.strip()
        self._still_near = [other for other in self._still_near if _may_be_similar(body, other)]
        return bool(self._still_near) or any(line.startswith(body) for line in self._tired)

    def _begin_line(self) -> None:
        tired = {line for line, times in self._written.items() if times > 1}
        if not _LONE_WORD.fullmatch(self._last):
            tired.add(self._last)
        self._tired = {line for line in tired if any(map(str.isalnum, line))}
        last = self._last if self._written else ""
        near = () if self._in_table else (self._below[0].strip(), last)
        self._near = [line for line in near if _allowed(line)]
        self._still_near = self._near

    def _is_near(self, line: str, other: str) -> bool:
        return bool(_allowed(other.strip())) and not self._in_table and similar(line, other)


def similar(line: str, other: str) -> bool:
    """Whether two lines are the same, or begin with the same word and differ in less than a tenth."""
    line, other = line.strip(), other.strip()
    if _first_word(line) != _first_word(other):
        return False
    limit = _allowed(max(line, other, key=len))
    return abs(len(line) - len(other)) <= limit and _distances(line, other, limit)[-1] <= limit


def _may_be_similar(partial: str, other: str) -> bool:
    """Whether a line that begins with `partial` may be similar to `other`."""
    word = _first_word(other)
    if not (word.startswith(partial) or _first_word(partial) == word):
        return False
    limit = _allowed(other) + 1  # of a line that is longer by what is allowed
    return min(_distances(partial, other, limit)) <= limit


def _allowed(line: str) -> int:
    """How many characters of a line as long as `line` are less than a tenth of it."""
    return max(0, len(line) - 1) // 10


def _same_indentation(line: str, other: str) -> bool:
    return line[: -len(line.lstrip())] == other[: -len(other.lstrip())]


def _first_word(line: str) -> str:
    match = _WORD.match(line)
    return match[0] if match else ""


def _distances(line: str, other: str, limit: int) -> list[int]:
    """Levenshtein's distance of `line` to each beginning of `other`, where that is at most `limit`.

    What both begin with costs nothing, so only what follows is compared.
    """
    pairs = enumerate(zip(line, other, strict=False))
    same = next((i for i, (one, another) in pairs if one != another), min(len(line), len(other)))
    line, other = line[same:], other[same : len(line) + limit + 1]
    row = list(range(len(other) + 1))
    for character in line:
        if min(row) > limit:
            break
        diagonal, row[0] = row[0], row[0] + 1
        for column, another in enumerate(other, 1):
            changed = diagonal + (character != another)
            diagonal = row[column]
            row[column] = min(changed, diagonal + 1, row[column - 1] + 1)
    return row
