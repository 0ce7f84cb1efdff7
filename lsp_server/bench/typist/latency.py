"""Summarizes a replayed session: how long the typist waits for text, and how much is computed per key.

`fimble bench` and the benchmarks print these figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lsp_server.bench.typist.replay import TypedKey
from model_runtime.api import Usage

Moment = Literal["first_text", "first_line"]


@dataclass(frozen=True)
class Quantiles:
    """The median and the 95th percentile of some values."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles | None:
        """Nearest-rank quantiles; None if there are no values."""
        ranked = sorted(values)
        if not ranked:
            return None
        return cls(*(ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.95)))


@dataclass(frozen=True)
class TypingSummary:
    """The figures of a replayed session; times are in milliseconds, counted from a key press.

    `first_text_ms` and `first_line_ms` cover keys after which text was shown. A key whose request was
    superseded counts with the time until text was shown for a later key, since the typist waited that long.
    `answered` keys were answered before the next key; `empty_share` is the share of those without text. The
    token counts are means over all keys and include work whose result was never shown; they are None if the
    assistant does not report usage.
    """

    keys: int
    answered: int
    overtaken_share: float
    empty_share: float
    first_text_ms: Quantiles | None
    first_line_ms: Quantiles | None
    prefilled_mean: float | None
    decoded_mean: float | None
    reused_share: float | None
    accepts: int
    accepted_share: float


def waits(keys: Sequence[TypedKey], moment: Moment = "first_text") -> list[float]:
    """Milliseconds from each key until text is shown, for that key or a later one.

    If a key's answer was empty, that key and the ones that it superseded are omitted.
    """
    return [wait for wait in waits_by_key(keys, moment) if wait is not None]


def waits_by_key(keys: Sequence[TypedKey], moment: Moment = "first_text") -> list[float | None]:
    """As `waits`, with None for each omitted key."""
    found: list[float | None] = []
    then: float | None = None
    for key in reversed(keys):
        came: float | None = getattr(key, moment)
        if came is not None or key.answered is not None:
            then = came
        found.append(None if then is None else 1000 * (then - key.at))
    return found[::-1]


def summarize(keys: Sequence[TypedKey], usage: Usage) -> TypingSummary:
    """Summarize a session with the total `usage` of its completions."""
    answered = [key for key in keys if key.answered is not None]
    tells = usage.prompt_tokens > 0
    prefilled = usage.prompt_tokens - usage.reused_tokens
    accepted = [key.key.edit.text for key in keys if key.key.action == "accept" and key.key.edit]
    written = sum(len(key.key.edit.text) for key in keys if key.key.edit)
    return TypingSummary(
        keys=len(keys),
        answered=len(answered),
        overtaken_share=_share(len(keys) - len(answered), len(keys)),
        empty_share=_share(sum(key.first_text is None for key in answered), len(answered)),
        first_text_ms=Quantiles.of(waits(keys)),
        first_line_ms=Quantiles.of(waits(keys, "first_line")),
        prefilled_mean=_share(prefilled, len(keys)) if tells else None,
        decoded_mean=_share(usage.decoded_tokens, len(keys)) if tells else None,
        reused_share=_share(usage.reused_tokens, usage.prompt_tokens) if tells else None,
        accepts=len(accepted),
        accepted_share=_share(sum(map(len, accepted)), written),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
