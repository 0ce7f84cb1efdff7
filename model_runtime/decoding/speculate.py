"""Drafts without a draft model: text repeats itself, so what followed the last time may follow now.

Beside sampling, under `generate`, which has drafts checked by the model several tokens at a time. The idea
is LLMA's (Yang et al., arXiv:2304.04487), also known as prompt lookup: the last tokens are looked up in what
is at hand, and what followed there is the draft. Where a completion was offered before for the same place,
and what is generated agrees so far, it goes on along that one. How much is drafted is decided by what a pass
costs and by how often such drafts were right.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Cost = Callable[[int], float]
"""Of a pass over so many tokens, relative to a pass over one."""

Source = Literal["text", "prompt", "stale", "elsewhere"]
"""Where a draft is from: what stands before the cursor and was generated since; the prompt's other parts,
such as the suffix; the completion that was offered before; whatever else the caller gives."""

WIDEST = 8
"""Tokens in a pass that a draft widens, at most."""

LONGEST = 8
"""So many tokens are compared before a place that is drafted from; where more agree counts for no more."""

RATE = 0.05
"""The weight of the latest outcome in a running mean."""

RETRY = 32
"""Where drafts of a source do not pay, one is made every so many times, to see whether that has changed."""


def cpu_cost(width: int) -> float:
    """The cost where nothing was measured: that of int8 products on a CPU with AVX2."""
    return 1.0 if width <= 4 else 1.0 + (width - 4) * 0.09


PRIORS: Mapping[Source, Sequence[float]] = {
    "text": (0.0, 0.3, 0.5, 0.55, 0.7, 0.75, 0.8, 0.8, 0.8),
    "prompt": (0.0, 0.15, 0.35, 0.45, 0.65, 0.75, 0.8, 0.8, 0.8),
    "stale": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.9, 0.9),
    "elsewhere": (0.0, 0.15, 0.35, 0.45, 0.65, 0.75, 0.8, 0.8, 0.8),
}
"""What the chances are taken to be at first, by how many tokens before agree. `text` and `prompt` are rounded
from what was counted on real files and on what the default model writes; the other two are assumed."""


class Drafter(Protocol):
    """Guesses what the model will say."""

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """Up to `limit` tokens that may follow `tokens`; between two calls `tokens` only grows."""
        ...

    def learn(self, proposed: int, accepted: int) -> None:
        """Of the last draft, `proposed` tokens were checked and the first `accepted` of them were right."""
        ...


class Odds:
    """How likely a drafted token is right, by where it is from and how many tokens before it agree.

    Outlives a completion: what was learnt on one keystroke counts on the next.
    """

    def __init__(self) -> None:
        self._chances = {source: list(chances) for source, chances in PRIORS.items()}
        self._passed_over = dict.fromkeys(PRIORS, 0)

    def chance(self, source: Source, agreeing: int) -> float:
        """That the next token from `source` is right, after `agreeing` tokens that are."""
        return self._chances[source][min(agreeing, LONGEST)]

    def length(self, source: Source, agreeing: int, limit: int, cost: Cost) -> int:
        """How many tokens to draft, at most `limit`: those with which the most tokens come in the time.

        The expected number of tokens is that of Leviathan et al. 2023, with a chance for each of them.
        """
        best, best_pace, expected, chance = 0, 1.0, 1.0, 1.0
        for drafted in range(1, limit + 1):
            chance *= self.chance(source, agreeing + drafted - 1)
            expected += chance
            pace = expected / cost(drafted + 1)
            if pace > best_pace:
                best, best_pace = drafted, pace
        if best:
            return best
        self._passed_over[source] = (self._passed_over[source] + 1) % RETRY
        return 0 if self._passed_over[source] else min(1, limit)

    def learn(self, source: Source, agreeing: int, proposed: int, accepted: int) -> None:
        """The outcome of a draft: what counts is each token up to the first one that was wrong."""
        chances = self._chances[source]
        for index in range(min(accepted + 1, proposed)):
            at = min(agreeing + index, LONGEST)
            chances[at] += RATE * ((index < accepted) - chances[at])


@dataclass(frozen=True)
class Match:
    """A place to draft from, and how many tokens before it agree."""

    source: Source
    agreeing: int
    following: str


class NgramDrafter:
    """Drafts one completion, from n-grams and from the completion that was offered before.

    Tokens are kept as a string with one character for each: a look-up is then a search of text, which takes
    microseconds for thousands of tokens, and no index has to be kept up to date on every keystroke.

    Args:
        prompt: what `generate` is given.
        before: the tokens that stand before the cursor, or the last of them, where the prompt ends otherwise.
        stale: the tokens of a completion that was offered before and may follow the prompt.
        elsewhere: more to look in, such as other files.
        never: tokens that are not drafted, nor is anything across them, such as sentinels.
        odds: what earlier completions have taught.
        cost: of a pass, by its width.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        before: Sequence[int] | None = None,
        stale: Sequence[int] = (),
        elsewhere: Sequence[Sequence[int]] = (),
        never: Collection[int] = frozenset(),
        odds: Odds | None = None,
        cost: Cost = cpu_cost,
    ) -> None:
        *others, self._text = _parts(prompt, never)
        self._before = self._text if before is None else _parts(before, never)[-1]
        self._made = ""
        self._seen = len(prompt)
        self._stale = _parts(stale, never)[0]
        self._still: list[tuple[Source, str]] = [
            *(("prompt", part) for part in others),
            ("stale", self._stale),
            *(("elsewhere", part) for tokens in elsewhere for part in _parts(tokens, never)),
        ]
        self._odds = odds or Odds()
        self._cost = cost
        self.last: Match | None = None

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """See `Drafter.propose`."""
        made = _spell(tokens[self._seen :])
        self._seen = len(tokens)
        self._made += made
        self._text += made
        self.last = self._best()
        if self.last is None:
            return ()
        length = self._odds.length(self.last.source, self.last.agreeing, limit, self._cost)
        return [ord(token) for token in self.last.following[:length]]

    def learn(self, proposed: int, accepted: int) -> None:
        """See `Drafter.learn`."""
        assert self.last is not None, "nothing was drafted"
        self._odds.learn(self.last.source, self.last.agreeing, proposed, accepted)

    def _best(self) -> Match | None:
        """The match whose next token is likeliest right."""
        context = (self._before + self._made)[-LONGEST:]
        sources: list[tuple[Source, str]] = [("text", self._text), *self._still]
        matches = [match for source, text in sources if (match := _latest(source, text, context))]
        if len(self._stale) > len(self._made) and self._stale.startswith(self._made):
            matches.append(Match("stale", len(self._made), self._stale[len(self._made) :]))
        return max(matches, key=lambda match: self._odds.chance(match.source, match.agreeing), default=None)


def _latest(source: Source, text: str, context: str) -> Match | None:
    """The latest place in `text` that follows the longest end of `context` that is followed by anything."""
    agreeing, end = 0, len(text) - 1
    for length in range(1, len(context) + 1):
        at = text.rfind(context[-length:], 0, end)
        if at < 0:
            break
        agreeing, end = length, at + length
    if not agreeing:
        return None
    following = text[end : end + WIDEST]
    if source == "text":  # up to its end, where it repeats itself: `0, 0, 0`
        following *= WIDEST
    return Match(source, agreeing, following[:WIDEST])


def _spell(tokens: Sequence[int]) -> str:
    """Tokens as text, a character for each; its number is the token's."""
    return array("I", tokens).tobytes().decode(f"utf-32-{sys.byteorder[0]}e", "surrogatepass")


def _parts(tokens: Sequence[int], never: Collection[int]) -> list[str]:
    """What stands between those tokens, as text; at least one part."""
    plain = frozenset(never).isdisjoint(tokens)  # told much sooner, and most are
    cuts = [] if plain else [index for index, token in enumerate(tokens) if token in never]
    text = _spell(tokens)
    return [text[a:b] for a, b in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(text)], strict=True)]
