"""How much of an accepted completion is still in the document 30, 90 and 180 seconds later.

An accepted completion that is rewritten half a minute later was not a good one. The accepted text is held in
memory only, until its last check.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Final

from lsp_server.statistics.metrics import KEPT_AFTER, KeptAfter

_MAX_PENDING: Final = 192
_SEARCH_RADIUS: Final = 1_000  # characters on either side of the old place that are searched
_MAX_COMPARED: Final = 600  # characters of the accepted text
_MIN_SHARE: Final = 0.5  # a passage less alike than this is alike by chance


@dataclass(frozen=True)
class Accepted:
    """A completion that was accepted in the document `uri`; `offset` characters stood before it then."""

    uri: str
    text: str
    offset: int
    model: str
    language: str


class KeptChecks:
    """Checks of accepted completions, by when they are due. The caller has the clock and the timer."""

    def __init__(self) -> None:
        self._checks: list[tuple[float, int, KeptAfter, Accepted]] = []
        self._number = itertools.count()

    @property
    def next_time(self) -> float | None:
        """When the next check is due; None if there are none."""
        return self._checks[0][0] if self._checks else None

    def add(self, now: float, accepted: Accepted) -> None:
        """Schedule a check of `accepted` after each of `KEPT_AFTER`; dropped when too many are pending."""
        if len(self._checks) < _MAX_PENDING:
            for after in KEPT_AFTER:
                heapq.heappush(self._checks, (now + after, next(self._number), after, accepted))

    def due(self, now: float) -> list[tuple[KeptAfter, Accepted]]:
        """Remove and return the checks that are due at `now`."""
        found = []
        while self._checks and self._checks[0][0] <= now:
            _, _, after, accepted = heapq.heappop(self._checks)
            found.append((after, accepted))
        return found

    def forget(self, uri: str) -> None:
        """Drop the checks in a document that was closed."""
        self._checks = [check for check in self._checks if check[-1].uri != uri]
        heapq.heapify(self._checks)


def kept_share(accepted: Accepted, document: str) -> float:
    """How much of what was accepted still stands in the text `document`, from 0 (gone) to 1 (all of it).

    Near its old place, the passage that is most like it is found; the share is 1 less the edit distance
    between them over the accepted text's length. White space does not count, so that a formatter takes
    nothing away. A text that is less than half alike is gone.
    """
    from rapidfuzz.distance import Levenshtein  # takes 40 ms to import, which a starting server doesn't have
    from rapidfuzz.fuzz import partial_ratio_alignment

    text = accepted.text[:_MAX_COMPARED]
    centre = _search_centre(text, document, accepted.offset)
    window = document[max(0, centre - _SEARCH_RADIUS) : centre + len(text) + _SEARCH_RADIUS]
    wanted, found = _without_space(text), _without_space(window)
    best = partial_ratio_alignment(wanted, found)
    passage = found[best.dest_start : best.dest_end] if best is not None else ""
    return Levenshtein.normalized_similarity(wanted, passage, score_cutoff=_MIN_SHARE)


def _search_centre(text: str, document: str, offset: int) -> int:
    """The offset to search around: that of the text's longest line that still stands, else the old one."""
    for line in sorted(text.split("\n"), key=len, reverse=True)[:3]:
        if len(line.strip()) > 3:
            places = (document.rfind(line, 0, offset + len(line)), document.find(line, offset))
            if found := [place for place in places if place >= 0]:
                return min(found, key=lambda place: abs(place - offset))
    return min(offset, len(document))


def _without_space(text: str) -> str:
    return "".join(text.split())
