"""Counts made into figures that a person reads: shares, percentiles, sums a day.

commands.stats ▶ **figures** ▶ {counts, metrics}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from lsp_server.statistics.metrics import KEPT_AFTER, LATENCY_STEP
from lsp_server.statistics.store import Count

LATENCY: Final = "latency"


class Figures:
    """What a set of counts comes to. A figure is None where there is nothing to tell it from."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self.latency_classes: Counter[int] = Counter()

    def add(self, count: Count, amount: float) -> None:
        """Take in one count."""
        if count.name == LATENCY:
            self.latency_classes[count.bucket] += round(amount)
        else:
            self._sums[count.name] += amount  # type: ignore[assignment]  # Counter is typed for whole numbers

    def number(self, name: str) -> int:
        """A count as `metrics` calls it: shown, accepted, …"""
        return round(self._sums[name])

    @property
    def acceptance(self) -> float | None:
        """The share that was accepted, wholly or partly, of what was on the screen long enough to be read."""
        taken = self._sums["accepted"] + self._sums["partly_accepted"]
        return self._share(taken, self._sums["shown"] - self._sums["glanced"])

    @property
    def from_memory(self) -> float | None:
        """The share of the answers that took no work of the model's."""
        return self._share(self._sums["from_memory"], self._sums["answered"])

    def kept(self, after: int) -> float | None:
        """The mean share of an accepted text that still stood so many seconds later."""
        return self._share(self._sums[f"kept_{after}"], self._sums[f"kept_{after}_of"])

    def tokens(self, name: str) -> float | None:
        """The mean number of tokens `prefilled`, `reused` or `decoded` for an answer that the model made."""
        return self._share(self._sums[name], self._sums["computed"])

    def latency(self, share: float) -> float | None:
        """The milliseconds within which this share of the answers came."""
        rest = share * sum(self.latency_classes.values())
        for latency_class, answers in sorted(self.latency_classes.items()):
            rest -= answers
            if rest <= 1e-9:
                return milliseconds(latency_class)
        return None

    def record(self) -> dict[str, float | None]:
        """All of it by name, for a program to read."""
        names = ("answered", "shown", "accepted", "partly_accepted", "dismissed", "glanced")
        return {
            **{name: self.number(name) for name in names},
            "acceptance": _rounded(self.acceptance),
            "characters_saved": self.number("saved"),
            **{f"kept_{after}_s": _rounded(self.kept(after)) for after in KEPT_AFTER},
            "latency_p50_ms": _rounded(self.latency(0.5), 1),
            "latency_p95_ms": _rounded(self.latency(0.95), 1),
            "from_memory": _rounded(self.from_memory),
            **{
                f"{name}_tokens": _rounded(self.tokens(name), 1)
                for name in ("prefilled", "reused", "decoded")
            },
        }

    @staticmethod
    def _share(part: float, whole: float) -> float | None:
        return part / whole if whole > 0 else None


def figures_by(counts: Mapping[Count, float], key: Callable[[Count], str]) -> dict[str, Figures]:
    """The figures of each group that `key` makes of the counts, in the keys' order."""
    groups: dict[str, Figures] = {}
    for count, amount in counts.items():
        groups.setdefault(key(count), Figures()).add(count, amount)
    return dict(sorted(groups.items()))


def total(counts: Mapping[Count, float]) -> Figures:
    """The figures of all counts together."""
    figures = Figures()
    for count, amount in counts.items():
        figures.add(count, amount)
    return figures


def milliseconds(latency_class: int) -> float:
    """The middle of a class of latencies."""
    return float(LATENCY_STEP ** (latency_class - 0.5)) if latency_class else 1.0


def percent(share: float | None) -> str:
    """A share of 1 as a person reads it."""
    return "–" if share is None else f"{100 * share:.0f} %"


def rounded(figure: float | None) -> str:
    """A figure as a person reads it: small ones with a digit after the point."""
    return "–" if figure is None else f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}"


def _rounded(figure: float | None, digits: int = 4) -> float | None:
    return None if figure is None else round(figure, digits)
