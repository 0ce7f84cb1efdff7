"""Whether a request waits for a pause in the typing before the model is asked.

A model that answers between two keys is asked at every key. A slower one would be interrupted every time, so
it is asked once the user seems to pause.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_PAUSE: Final = 0.4  # seconds between two keys that are a pause, and no interval of typing
_MAX_INTERVALS: Final = 100
_MIN_INTERVALS: Final = 20
_DEFAULT_INTERVAL: Final = 0.2  # seconds, until enough of the user's own are known
_SHORTEST, _LONGEST = 0.1, 0.4  # seconds
_MAX_ANSWERS: Final = 20
_PAUSE_INTERVALS: Final = 1.5  # so many intervals without a key are taken for a pause


class Debounce:
    """Learns how fast the user types and how fast the model answers. Times are in seconds."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_MAX_INTERVALS)
        self._answers: deque[float] = deque(maxlen=_MAX_ANSWERS)
        self._last_key = float("-inf")

    def key(self, now: float) -> None:
        """The user has pressed a key."""
        interval, self._last_key = now - self._last_key, now
        if interval <= _PAUSE:
            self._intervals.append(interval)

    def answered(self, took: float) -> None:
        """The model took so many seconds for an answer."""
        self._answers.append(took)

    def clear_answers(self) -> None:
        """Start over with the model's times: it is another model."""
        self._answers.clear()

    def delay(self) -> float:
        """Seconds to wait for the next key before the model is asked."""
        interval = _DEFAULT_INTERVAL
        if len(self._intervals) >= _MIN_INTERVALS:
            mean = sum(self._intervals) / len(self._intervals)
            interval = min(max(mean, _SHORTEST), _LONGEST)
        answer = sorted(self._answers)[len(self._answers) // 2] if self._answers else 0.0
        if answer <= interval:
            return 0.0
        # The answer takes its time as well, so the pause that is waited for is that much shorter.
        return min(max(_PAUSE_INTERVALS * interval - answer, _SHORTEST), _LONGEST)
