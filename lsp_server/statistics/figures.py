"""Figures computed from the counts: shares, percentiles, sums. `fimble stats` and its HTML page show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from lsp_server.statistics.metrics import KEPT_AFTER, LATENCY_STEP
from lsp_server.statistics.store import Count

LATENCY: Final = "latency"


class Figures:
    """The figures of a set of counts. A figure is None if nothing was counted that it could come from."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._latency_classes: Counter[int] = Counter()

    def add(self, count: Count, amount: float) -> None:
        """Add one count."""
        if count.name == LATENCY:
            self._latency_classes[count.bucket] += round(amount)
        else:
            self._sums[count.name] += amount  # type: ignore[assignment]  # Counter is typed for whole numbers

    def number(self, name: str) -> int:
        """The count with one of the names in `metrics`: shown, accepted, …"""
        return round(self._sums[name])

    @property
    def acceptance(self) -> float | None:
        """The share that was accepted, wholly or partly, of the completions shown long enough to be read."""
        taken = self._sums["accepted"] + self._sums["partly_accepted"]
        return self._share(taken, self._sums["shown"] - self._sums["glanced"])

    @property
    def from_memory(self) -> float | None:
        """The share of the answers that came from earlier suggestions, without running the model."""
        return self._share(self._sums["from_memory"], self._sums["answered"])

    def kept(self, after: int) -> float | None:
        """The mean share of accepted text that was still there `after` seconds."""
        return self._share(self._sums[f"kept_{after}"], self._sums[f"kept_{after}_of"])

    def tokens(self, name: str) -> float | None:
        """The mean number of tokens `prefilled`, `reused` or `decoded` in an answer that ran the model."""
        return self._share(self._sums[name], self._sums["computed"])

    def latency(self, share: float) -> float | None:
        """The time in milliseconds within which this share of the answers came: a percentile."""
        rest = share * sum(self._latency_classes.values())
        for latency_class, answers in sorted(self._latency_classes.items()):
            rest -= answers
            if rest <= 1e-9:
                return milliseconds(latency_class)
        return None

    def record(self) -> dict[str, float | None]:
        """All figures by name, for a program to read."""
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
    """The figures of the counts grouped by `key`, in the order of the keys."""
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
    """The middle of a latency class."""
    return float(LATENCY_STEP ** (latency_class - 0.5)) if latency_class else 1.0


def table_cells(figures: Figures) -> dict[str, str]:
    """The columns of a table for a person: headings, and what stands below them."""
    return {
        "shown": f"{figures.number('shown'):,}",
        "accepted": _percent(figures.acceptance),
        "chars saved": f"{figures.number('saved'):,}",
        "kept 30 s": _percent(figures.kept(30)),
        "kept 180 s": _percent(figures.kept(180)),
        "p50 ms": _short(figures.latency(0.5)),
        "p95 ms": _short(figures.latency(0.95)),
        "from memory": _percent(figures.from_memory),
        "prefill tokens": _short(figures.tokens("prefilled")),
        "decode tokens": _short(figures.tokens("decoded")),
    }


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _short(figure: float | None) -> str:
    """Small figures have a digit after the point."""
    return "–" if figure is None else f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}"


def _rounded(figure: float | None, digits: int = 4) -> float | None:
    return None if figure is None else round(figure, digits)
