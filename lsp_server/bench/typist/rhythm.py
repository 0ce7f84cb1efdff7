"""Random intervals between keys and random typos, with the statistics of human typists.

The values for a position depend only on the seed and the position. So two sessions that accept different
completions have the same intervals and typos wherever both of them type.

The means are from Dhakal, Feit, Kristensson and Oulasvirta, "Observations on Typing from 136 Million
Keystrokes" (CHI 2018, table 3): 239 ms between keys, 206 ms (the mean of its three groups) between letters of
a word, 6.3 corrections in 100 keys. Intervals are log-normal, which fits free text well (González, Calot,
Ierache and Hasperué, Heliyon 7, e08413, 2021). The pauses before a line, before a jump and after accepted
text are our choice: we know of no published figures for programmers.
"""

from __future__ import annotations

import math
import random
from typing import Final, Literal

Interval = Literal["letter", "other", "line", "jump", "correction", "after accept"]

MEAN_SECONDS: Final[dict[Interval, float]] = {
    "letter": 0.206,
    "other": 0.337,  # the mean over all keys is 0.239 if three of four are letters in a word
    "line": 0.9,
    "jump": 2.0,
    "correction": 0.239,
    "after accept": 0.7,
}

SPREAD: Final = 111.6 / 238.66
"""Standard deviation as a share of the mean: the paper's value between people, used within one person."""

SLIP: Final = 0.042
"""The share of mistyped letters: each takes 1.5 backspaces on average, which gives 6.3 % corrections."""

_NEIGHBOURS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Rhythm:
    """The typing rhythm of one person, determined by a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sigma = math.sqrt(math.log(1 + SPREAD**2))

    def pause(self, interval: Interval, place: str) -> float:
        """Seconds before the key at `place`."""
        median = MEAN_SECONDS[interval] * math.exp(-(self._sigma**2) / 2)
        return self._draw(place, "pause").lognormvariate(math.log(median), self._sigma)

    def slip(self, letter: str, place: str) -> str:
        """The wrong letter that is typed instead of `letter`; usually empty, for no typo."""
        draw = self._draw(place, "slip")
        if draw.random() >= SLIP:
            return ""
        return _adjacent_letter(letter, draw)

    def notices_late(self, place: str) -> bool:
        """Whether the next letter is also typed before the typo is noticed."""
        return self._draw(place, "notice").random() < 0.5

    def _draw(self, place: str, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{place}/{what}")


def _adjacent_letter(letter: str, draw: random.Random) -> str:
    """A letter next to `letter` on a QWERTY keyboard; empty for other characters."""
    for row in _NEIGHBOURS:
        at = row.find(letter.lower())
        if at >= 0:
            wrong = row[at - 1] if at and (draw.random() < 0.5 or at + 1 == len(row)) else row[at + 1]
            return wrong.upper() if letter.isupper() else wrong
    return ""
