"""Whether to wait for a pause in the typing before a model is asked.

session ▶ **debounce**. A model that answers between two keys is asked at every key. One that does not would
only ever be interrupted: it is asked when the user seems to pause.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_PAUSE: Final = 0.4  # seconds between two keys from which on it is no interval of typing
_INTERVALS: Final = 100
_FEWEST_INTERVALS: Final = 20
_USUAL_INTERVAL: Final = 0.2  # until there are enough of the user's own
_SHORTEST, _LONGEST = 0.1, 0.4
_ANSWERS: Final = 20
_RATE: Final = 1.5  # after so many intervals without a key the user is taken to pause


class Debounce:
    """Learns how fast the user types and how fast the model answers. Times are in seconds."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._answers: deque[float] = deque(maxlen=_ANSWERS)
        self._last_key = float("-inf")

    def key(self, now: float) -> None:
        """The user has typed something."""
        interval, self._last_key = now - self._last_key, now
        if interval <= _PAUSE:
            self._intervals.append(interval)

    def answered(self, took: float) -> None:
        """The model has taken so long for an answer."""
        self._answers.append(took)

    def forget_answers(self) -> None:
        """The model is another one."""
        self._answers.clear()

    def delay(self) -> float:
        """How long to wait for the next key before the model is asked."""
        interval = _USUAL_INTERVAL
        if len(self._intervals) >= _FEWEST_INTERVALS:
            mean = sum(self._intervals) / len(self._intervals)
            interval = min(max(mean, _SHORTEST), _LONGEST)
        answer = sorted(self._answers)[len(self._answers) // 2] if self._answers else 0.0
        if answer <= interval:
            return 0.0
        # What an answer takes is spent waiting as well, so that much less is waited for the pause.
        return min(max(_RATE * interval - answer, _SHORTEST), _LONGEST)
