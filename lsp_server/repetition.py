"""Notices when a line runs in circles.

trim ▶ **repetition**. A small model that has lost its way writes ``a, a, a, a, a, …`` until something stops
it. Two rounds are left in, since the first repetition is often meant.
"""

from __future__ import annotations

from typing import Final

_SHORTEST: Final = 3
_LONGEST: Final = 40
_LONG: Final = 10  # from here on, fewer rounds are enough
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
        self._runs = [0] * (_LONGEST + 1)  # by period: how long the line's end has been repeating itself

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
        for period in range(_SHORTEST, min(_LONGEST, end) + 1):
            if self._line[end - period] != character:
                self._runs[period] = 0
                continue
            run = self._runs[period] = self._runs[period] + 1
            if run > period and any(map(str.isalnum, self._line[-period:])):
                self.held = max(self.held, run - period)
                rounds = _ROUNDS_OF_LONG if period >= _LONG else _ROUNDS_OF_SHORT
                looping = looping or run >= (rounds - 1) * period
        return looping
