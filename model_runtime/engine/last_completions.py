"""The last completion of each session: the best guess at what the model will write next time.

The engine drafts tokens from it. It is kept as text, since what was typed since need not end where a token
does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class _Completion:
    prefix: str
    text: str


class LastCompletions:
    """The last completion of each session, for the sessions that asked most recently.

    Args:
        max_sessions: how many sessions are remembered.
    """

    def __init__(self, max_sessions: int = 32) -> None:
        self._max_sessions = max_sessions
        self._last: dict[str, _Completion] = {}  # the most recent at the end

    def remaining(self, session: str, prefix: str) -> str:
        """The part of a session's last completion that may follow `prefix`.

        That is all of it where something else was typed, and nothing where there is no completion.
        """
        last = self._last.get(session)
        if last is None:
            return ""
        if prefix.startswith(last.prefix) and last.text.startswith(typed := prefix[len(last.prefix) :]):
            return last.text[len(typed) :]
        if last.prefix.startswith(prefix):
            return last.prefix[len(prefix) :] + last.text
        return last.text

    def record(self, session: str, prefix: str, text: str) -> None:
        """Remember the completion after `prefix`; one that was cut short does not replace a longer one."""
        if not session:
            return
        remaining = self.remaining(session, prefix)
        self._last.pop(session, None)
        self._last[session] = _Completion(prefix, remaining if remaining.startswith(text) else text)
        if len(self._last) > self._max_sessions:
            del self._last[next(iter(self._last))]
