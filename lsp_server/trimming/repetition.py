"""Detects repetition: within a line, and of whole lines.

A small model that is lost writes ``a, a, a, a, a, …`` until it is stopped; two rounds are kept, since the
first repetition is often meant. And it repeats lines: of the file around the cursor, or its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_MIN_PERIOD: Final = 3
_MAX_PERIOD: Final = 40
_LONG_PERIOD: Final = 10  # from this period on, fewer rounds are enough
_LONE_WORD: Final = re.compile(r"\w*:?")  # try:, else:, pass
_WORD: Final = re.compile(r"\w*")
_MAX_WHITE_SPACE: Final = 100  # no useful line has a longer run of white space
_MAX_SHORT_ROUNDS: Final = 6
_MAX_LONG_ROUNDS: Final = 4


class LoopDetector:
    """Detects a loop in one line, character by character.

    `held` is the number of characters at its end that belong to a third or later round, and would be dropped
    if it turned out to be a loop.
    """

    def __init__(self) -> None:
        self.held = 0
        self._line = ""
        self._runs: dict[int, int] = {}  # by period: how long the line's end has been repeating itself

    def feed(self, piece: str) -> int | None:
        """Add text to the line; returns the length to cut the line to if it loops, else None."""
        for character in piece:
            self._line += character
            if self._step(character):
                return len(self._line) - self.held
        return None

    def _step(self, character: str) -> bool:
        self.held = 0
        looping = False
        end = len(self._line) - 1
        if self._line[-_MAX_WHITE_SPACE:].isspace() and end >= _MAX_WHITE_SPACE:
            self.held = _MAX_WHITE_SPACE
            return True
        runs: dict[int, int] = {}
        place = self._line.rfind(character, max(0, end - _MAX_PERIOD), max(0, end - _MIN_PERIOD + 1))
        while place >= 0:
            period = end - place
            run = runs[period] = self._runs.get(period, 0) + 1
            if run > period and any(map(str.isalnum, self._line[-period:])):
                self.held = max(self.held, run - period)
                rounds = _MAX_LONG_ROUNDS if period >= _LONG_PERIOD else _MAX_SHORT_ROUNDS
                looping = looping or run >= (rounds - 1) * period
            place = self._line.rfind(character, max(0, end - _MAX_PERIOD), place)
        self._runs = runs
        return looping


class RepeatedLines:
    """The lines that must not be written next, as they would be repetitions.

    These are the line `below` the cursor and similar ones; the line written last and similar ones (at first,
    the last line `above` the cursor); and every line that was written twice. If two adjacent lines around the
    cursor are similar, they belong to a table, and another row of it is allowed.
    """

    def __init__(self, above: Sequence[str], below: Sequence[str]) -> None:
        self._below = (*below, "")
        self._passed = 0  # how many of the lines below were written
        self._last = above[-1].strip() if above else ""
        around = (*above[-2:], *below[:2])
        self._in_table = any(similar(one, other) for one, other in pairwise(around))
        self._written: Counter[str] = Counter()
        self._banned: set[str] = set()
        self._still_similar: list[str] = []
        self._begin_line()

    def add(self, line: str) -> None:
        """`line` has been written."""
        self._last = line.strip()
        self._written[self._last] += 1
        self._passed = 0
        self._begin_line()

    def skip_line_below(self) -> None:
        """The next line below was written, but the one after it will decide."""
        self._passed = min(self._passed + 1, len(self._below) - 1)

    def contains(self, line: str) -> bool:
        """Whether `line` is a repetition."""
        below = self._below[self._passed]
        if below and (
            line.rstrip() == below or (_same_indentation(line, below) and self._is_similar(line, below))
        ):
            return True
        return line.strip() in self._banned or (bool(self._written) and self._is_similar(line, self._last))

    def may_contain(self, partial: str) -> bool:
        """Whether a line that begins with `partial` may turn out to be a repetition.

        Call it with longer and longer parts of one line: lines that are ruled out stay so.
        """
        if self._below[self._passed].startswith(partial.rstrip()):
            return True
        body = partial.strip()
        self._still_similar = [other for other in self._still_similar if _may_be_similar(body, other)]
        return bool(self._still_similar) or any(line.startswith(body) for line in self._banned)

    def _begin_line(self) -> None:
        banned = {line for line, times in self._written.items() if times > 1}
        if not _LONE_WORD.fullmatch(self._last):
            banned.add(self._last)
        self._banned = {line for line in banned if any(map(str.isalnum, line))}
        last = self._last if self._written else ""
        near = () if self._in_table else (self._below[0].strip(), last)
        self._still_similar = [line for line in near if _allowed(line)]

    def _is_similar(self, line: str, other: str) -> bool:
        return bool(_allowed(other.strip())) and not self._in_table and similar(line, other)


def similar(line: str, other: str) -> bool:
    """Whether two lines are equal, or begin with the same word and differ in less than a tenth."""
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
    limit = _allowed(other) + 1  # the whole line may be longer by what is allowed
    return min(_distances(partial, other, limit)) <= limit


def _allowed(line: str) -> int:
    """The largest edit distance that is less than a tenth of `line`."""
    return max(0, len(line) - 1) // 10


def _same_indentation(line: str, other: str) -> bool:
    return line[: -len(line.lstrip())] == other[: -len(other.lstrip())]


def _first_word(line: str) -> str:
    match = _WORD.match(line)
    return match[0] if match else ""


def _distances(line: str, other: str, limit: int) -> list[int]:
    """Levenshtein's distance of `line` to every prefix of `other`, as far as it is at most `limit`.

    rapidfuzz gives the distance to one text only. The common prefix costs nothing, so the rest is compared.
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
