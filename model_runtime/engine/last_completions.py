"""What each session was last offered: the likeliest guess at what the model says next time.

engine ▶ **offers**. Text, not tokens: what is typed since need not end where a token does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class _Offer:
    prefix: str
    text: str


class Offers:
    """The last offer of each session, for so many sessions as asked last.

    Args:
        most: how many sessions are remembered.
    """

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._last: dict[str, _Offer] = {}  # the latest at the end

    def rest(self, session: str, prefix: str) -> str:
        """What is left of a session's offer behind `prefix`; all of it where something else was typed."""
        offer = self._last.get(session)
        if offer is None:
            return ""
        if prefix.startswith(offer.prefix) and offer.text.startswith(typed := prefix[len(offer.prefix) :]):
            return offer.text[len(typed) :]
        if offer.prefix.startswith(prefix):
            return offer.prefix[len(prefix) :] + offer.text
        return offer.text

    def put(self, session: str, prefix: str, text: str) -> None:
        """Remember what was offered behind `prefix`; one that was cut short leaves the rest as it was."""
        if not session:
            return
        rest = self.rest(session, prefix)
        self._last.pop(session, None)
        self._last[session] = _Offer(prefix, rest if rest.startswith(text) else text)
        if len(self._last) > self._most:
            del self._last[next(iter(self._last))]
