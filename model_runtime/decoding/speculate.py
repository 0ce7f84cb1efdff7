"""Drafts tokens for speculative decoding without a draft model, by prompt lookup.

The last tokens are looked up in the text at hand, and what followed them there is the draft (LLMA, Yang et
al., arXiv:2304.04487). A completion that was suggested before at the same place is followed as long as the
new one agrees. `generate` has the model check drafts. Their length follows from the cost of a pass and from
how often such drafts were accepted.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Cost = Callable[[int], float]
"""The cost of a pass over so many tokens, relative to a pass over one."""

Source = Literal["text", "prompt", "previous", "other"]
"""Where a draft comes from: the text before the cursor and what was generated since; other parts of the
prompt, such as the suffix; the completion that was suggested before; other texts that the caller gives."""

MAX_DRAFT_ROWS = 8
"""The most tokens in a pass with a draft."""

MAX_MATCH = 8
"""Tokens that are compared before a draft; longer matches count as this long."""

LEARNING_RATE = 0.05
"""The weight of the latest outcome in a running mean."""

RETRY_INTERVAL = 32
"""Where drafts of a source do not pay, one in so many is made all the same, to notice when that changes."""


PRIORS: Mapping[Source, Sequence[float]] = {
    "text": (0.0, 0.3, 0.5, 0.55, 0.7, 0.75, 0.8, 0.8, 0.8),
    "prompt": (0.0, 0.15, 0.35, 0.45, 0.65, 0.75, 0.8, 0.8, 0.8),
    "previous": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.9, 0.9),
    "other": (0.0, 0.15, 0.35, 0.45, 0.65, 0.75, 0.8, 0.8, 0.8),
}
"""Initial acceptance rates by length of the match. `text` and `prompt` are rounded from counts on real files
and on what the default model writes; the other two are assumed."""


class Drafter(Protocol):
    """Guesses what the model will generate."""

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """Up to `limit` tokens that may follow `tokens`; between two calls `tokens` only grows."""
        ...

    def record(self, proposed: int, accepted: int) -> None:
        """Of the last draft, `proposed` tokens were checked and the first `accepted` of them accepted."""
        ...


class AcceptanceStats:
    """Acceptance rates of drafted tokens, by source and by the number of tokens that match before them.

    Shared by successive completions: what was learnt on one keystroke counts on the next.
    """

    def __init__(self) -> None:
        self._rates = {source: list(rates) for source, rates in PRIORS.items()}
        self._skipped = dict.fromkeys(PRIORS, 0)

    def rate(self, source: Source, matched: int) -> float:
        """The probability that the next token from `source` is accepted, after `matched` equal ones."""
        return self._rates[source][min(matched, MAX_MATCH)]

    def draft_length(self, source: Source, matched: int, limit: int, cost: Cost) -> int:
        """The number of tokens to draft, at most `limit`, that gives the most tokens per time.

        The expected number of tokens is that of Leviathan et al. 2023, with a rate for each token.
        """
        best, best_speed, expected, probability = 0, 1.0, 1.0, 1.0
        for drafted in range(1, limit + 1):
            probability *= self.rate(source, matched + drafted - 1)
            expected += probability
            speed = expected / cost(drafted + 1)
            if speed > best_speed:
                best, best_speed = drafted, speed
        if best:
            return best
        self._skipped[source] = (self._skipped[source] + 1) % RETRY_INTERVAL
        return 0 if self._skipped[source] else min(1, limit)

    def record(self, source: Source, matched: int, proposed: int, accepted: int) -> None:
        """Learn from a draft: each token counts up to and including the first rejected one."""
        rates = self._rates[source]
        for index in range(min(accepted + 1, proposed)):
            at = min(matched + index, MAX_MATCH)
            rates[at] += LEARNING_RATE * ((index < accepted) - rates[at])


@dataclass(frozen=True)
class Match:
    """A place to draft from: how many tokens before it match, and what follows."""

    source: Source
    matched: int
    following: str


class NgramDrafter:
    """Drafts for one completion, from n-grams and from the completion that was suggested before.

    Tokens are kept as a string with one character each: a look-up is then a text search, which takes
    microseconds for thousands of tokens and needs no index.

    Args:
        prompt: the tokens that `generate` is given.
        cost: of a pass, by its number of tokens.
        before: the tokens before the cursor, or the last of them, where the prompt does not end with them.
        previous: the tokens of a completion that was suggested before and may follow the prompt.
        others: other texts to look in, such as other files.
        excluded: tokens that are never drafted, nor drafted across, such as sentinels.
        stats: the acceptance rates of earlier completions.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        cost: Cost,
        *,
        before: Sequence[int] | None = None,
        previous: Sequence[int] = (),
        others: Sequence[Sequence[int]] = (),
        excluded: Collection[int] = frozenset(),
        stats: AcceptanceStats | None = None,
    ) -> None:
        *other_parts, self._text = _parts(prompt, excluded)
        self._before = self._text if before is None else _parts(before, excluded)[-1]
        self._generated = ""
        self._seen = len(prompt)
        self._previous = _parts(previous, excluded)[0]
        self._fixed: list[tuple[Source, str]] = [
            *(("prompt", part) for part in other_parts),
            ("previous", self._previous),
            *(("other", part) for tokens in others for part in _parts(tokens, excluded)),
        ]
        self._stats = stats or AcceptanceStats()
        self._cost = cost
        self.last: Match | None = None

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """See `Drafter.propose`."""
        generated = _as_text(tokens[self._seen :])
        self._seen = len(tokens)
        self._generated += generated
        self._text += generated
        self.last = self._best_match()
        if self.last is None:
            return ()
        length = self._stats.draft_length(self.last.source, self.last.matched, limit, self._cost)
        return [ord(token) for token in self.last.following[:length]]

    def record(self, proposed: int, accepted: int) -> None:
        """See `Drafter.record`."""
        assert self.last is not None, "nothing was drafted"
        self._stats.record(self.last.source, self.last.matched, proposed, accepted)

    def _best_match(self) -> Match | None:
        """The match whose next token is most likely to be accepted."""
        context = (self._before + self._generated)[-MAX_MATCH:]
        sources: list[tuple[Source, str]] = [("text", self._text), *self._fixed]
        matches = [match for source, text in sources if (match := _latest_match(source, text, context))]
        done = len(self._generated)
        if len(self._previous) > done and self._previous.startswith(self._generated):
            matches.append(Match("previous", done, self._previous[done:]))
        return max(matches, key=lambda match: self._stats.rate(match.source, match.matched), default=None)


def _latest_match(source: Source, text: str, context: str) -> Match | None:
    """The last place in `text` after the longest end of `context` that occurs before its last token."""
    matched, end = 0, len(text) - 1
    for length in range(1, len(context) + 1):
        at = text.rfind(context[-length:], 0, end)
        if at < 0:
            break
        matched, end = length, at + length
    if not matched:
        return None
    following = text[end : end + MAX_DRAFT_ROWS]
    if source == "text":  # continued beyond the end of the text, which may repeat itself: `0, 0, 0`
        following *= MAX_DRAFT_ROWS
    return Match(source, matched, following[:MAX_DRAFT_ROWS])


def _as_text(tokens: Sequence[int]) -> str:
    """Tokens as a string; a character's code point is the token's id."""
    return array("I", tokens).tobytes().decode(f"utf-32-{sys.byteorder[0]}e", "surrogatepass")


def _parts(tokens: Sequence[int], excluded: Collection[int]) -> list[str]:
    """The strings between excluded tokens; at least one."""
    text = _as_text(tokens)
    if frozenset(excluded).isdisjoint(tokens):  # the usual case, and much faster to tell
        return [text]
    cuts = [index for index, token in enumerate(tokens) if token in excluded]
    return [text[a:b] for a, b in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(text)], strict=True)]
