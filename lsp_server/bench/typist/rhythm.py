"""When keys are pressed and which ones slip: people's intervals, drawn anew for every place in a text.

What is drawn for a place depends on the seed and that place alone. So two sessions that differ in what they
accept have the same rhythm wherever both of them type.

Means are those of Dhakal, Feit, Kristensson and Oulasvirta, "Observations on Typing from 136 Million
Keystrokes" (CHI 2018, table 3): 239 ms between keys, 206 ms (the mean of its three groups) between letters
of a word, 6.3 corrections in 100 keys. Intervals are log-normal, which fits free text well (González, Calot,
Ierache and Hasperué, Heliyon 7, e08413, 2021). The pauses of a programmer at work, before a line, on the way
to another place or over accepted text, are our choice: we know of no published figures.
"""

from __future__ import annotations

import math
import random
from typing import Final, Literal

Interval = Literal["letter", "other", "line", "jump", "correction", "after accept"]

MEAN_SECONDS: Final[dict[Interval, float]] = {
    "letter": 0.206,
    "other": 0.337,  # if three of four keys are letters of a word, all keys together take 0.239
    "line": 0.9,
    "jump": 2.0,
    "correction": 0.239,
    "after accept": 0.7,
}

SPREAD: Final = 111.6 / 238.66
"""Standard deviation as a share of the mean: the paper's between people, taken for that of a person."""

SLIP: Final = 0.042
"""The share of letters that go wrong: a slip costs one and a half backspaces, and these are 6.3 %."""

_NEIGHBOURS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Rhythm:
    """One person's rhythm, fixed by a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sigma = math.sqrt(math.log(1 + SPREAD**2))

    def pause(self, interval: Interval, place: str) -> float:
        """Seconds until the key that is pressed at `place`."""
        median = MEAN_SECONDS[interval] * math.exp(-(self._sigma**2) / 2)
        return self._draw(place, "pause").lognormvariate(math.log(median), self._sigma)

    def slip(self, letter: str, place: str) -> str:
        """What is typed by mistake in the place of `letter`; mostly nothing."""
        draw = self._draw(place, "slip")
        if draw.random() >= SLIP:
            return ""
        return _beside(letter, draw)

    def notices_late(self, place: str) -> bool:
        """Whether the next letter is typed too before a slip is seen."""
        return self._draw(place, "notice").random() < 0.5

    def _draw(self, place: str, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{place}/{what}")


def _beside(letter: str, draw: random.Random) -> str:
    """A letter that lies beside `letter` on a keyboard; nothing where it has no neighbours."""
    for row in _NEIGHBOURS:
        at = row.find(letter.lower())
        if at >= 0:
            wrong = row[at - 1] if at and (draw.random() < 0.5 or at + 1 == len(row)) else row[at + 1]
            return wrong.upper() if letter.isupper() else wrong
    return ""
