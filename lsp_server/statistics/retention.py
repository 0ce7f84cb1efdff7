"""How much of an accepted completion still stands a while later, and when to look.

server ▶ **keeping**. An accepted completion that is rewritten half a minute later was not a good one. The
text that was accepted is kept here, in memory, until it has been looked for the last time.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Final

from lsp_server.statistics.metrics import KEPT_AFTER, KeptAfter

_MOST_CHECKS: Final = 192
_REACH: Final = 1_000  # characters beside the place where the text was, in which it is looked for
_LONGEST: Final = 600  # characters of a text that are compared
_LEAST: Final = 0.5  # what is less alike than this is alike by chance


@dataclass(frozen=True)
class Accepted:
    """A completion that was accepted in the document `uri`; `offset` characters stood before it then."""

    uri: str
    text: str
    offset: int
    model: str
    language: str


class KeptChecks:
    """When to look at what was accepted: an alarm clock without a clock, for any timer to drive."""

    def __init__(self) -> None:
        self._checks: list[tuple[float, int, KeptAfter, Accepted]] = []
        self._number = itertools.count()

    @property
    def next_time(self) -> float | None:
        """When the next one is due; None where there is none."""
        return self._checks[0][0] if self._checks else None

    def add(self, now: float, accepted: Accepted) -> None:
        """Look at `accepted` after each of `KEPT_AFTER`; with too many on the list it is left out."""
        if len(self._checks) < _MOST_CHECKS:
            for after in KEPT_AFTER:
                heapq.heappush(self._checks, (now + after, next(self._number), after, accepted))

    def due(self, now: float) -> list[tuple[KeptAfter, Accepted]]:
        """Those whose time has come, which are off the list then."""
        found = []
        while self._checks and self._checks[0][0] <= now:
            _, _, after, accepted = heapq.heappop(self._checks)
            found.append((after, accepted))
        return found

    def forget(self, uri: str) -> None:
        """The document was closed: nobody knows what becomes of it."""
        self._checks = [check for check in self._checks if check[-1].uri != uri]
        heapq.heapify(self._checks)


def kept_share(accepted: Accepted, document: str) -> float:
    """How much of what was accepted still stands in the text `document`, from 0 (gone) to 1 (all of it).

    That is 1 less the edit distance to what is most like it near its old place, as a share of its length.
    White space does not count, so that a formatter takes nothing away. What is less than half alike is gone.
    """
    text = accepted.text[:_LONGEST]
    centre = _centre(text, document, accepted.offset)
    window = document[max(0, centre - _REACH) : centre + len(text) + _REACH]
    wanted, found = _without_space(text), _without_space(window)
    if wanted in found:
        return 1.0
    share = 1 - _distance(wanted, found) / len(wanted)
    return share if share >= _LEAST else 0.0


def _centre(text: str, document: str, offset: int) -> int:
    """Where to look: at the text's longest line that still stands, else where it was."""
    for line in sorted(text.split("\n"), key=len, reverse=True)[:3]:
        if len(line.strip()) > 3:
            places = (document.rfind(line, 0, offset + len(line)), document.find(line, offset))
            if found := [place for place in places if place >= 0]:
                return min(found, key=lambda place: abs(place - offset))
    return min(offset, len(document))


def _without_space(text: str) -> str:
    return "".join(text.split())


def _distance(pattern: str, text: str) -> int:
    """The least number of characters to change, add or take away that makes `pattern` a part of `text`.

    Myers (1999), "A fast bit-vector algorithm for approximate string matching": a column of the table of
    distances is two whole numbers, with a bit for each character where the distance goes up, or down.
    """
    everywhere = (1 << len(pattern)) - 1
    last = 1 << (len(pattern) - 1)
    places: dict[str, int] = {}
    for index, character in enumerate(pattern):
        places[character] = places.get(character, 0) | 1 << index
    up, down = everywhere, 0
    best = score = len(pattern)
    for character in text:
        equal = places.get(character, 0)
        diagonal = (((equal & up) + up) ^ up) | equal
        right_up = down | ~(diagonal | up) & everywhere
        right_down = up & diagonal
        score += bool(right_up & last) - bool(right_down & last)
        best = min(best, score)
        right_up, right_down = right_up << 1 & everywhere, right_down << 1 & everywhere
        steady = equal | down
        up, down = right_down | ~(steady | right_up) & everywhere, right_up & steady
    return best
