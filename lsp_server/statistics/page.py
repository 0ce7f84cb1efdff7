"""The page that ``fimble stats --html`` writes: complete in itself, so that it can be kept or passed on.

commands.stats ▶ **statistics_page** ▶ {charts, figures}. It loads nothing, from anywhere, and runs no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final

from lsp_server.statistics.charts import Series, Words, columns, lines
from lsp_server.statistics.figures import (
    Figures,
    figures_by,
    milliseconds,
    percent,
    rounded,
    total,
)
from lsp_server.statistics.metrics import KEPT_AFTER
from lsp_server.statistics.store import Count

_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #fff; --ink: #1d252c; --soft: #5c6873;
  --line: #e2e6e9; --c1: #1f6f5c; --c2: #e09f3e; --c3: #c3ccd3; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --card: #1c2226; --ink: #e6eaed;
  --soft: #9aa6b0; --line: #2e363c; --c1: #4fc3a1; --c2: #f0b860; --c3: #4a555e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 28px; margin: 0; letter-spacing: -.01em; } h2 { font-size: 16px; margin: 0; }
p { margin: 2px 0 0; color: var(--soft); } header { margin-bottom: 28px; }
.tiles, .plots { display: grid; gap: 16px; margin: 0 0 16px; padding: 0; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
.tiles > div, figure, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; margin: 0; }
.tiles dt { color: var(--soft); font-size: 14px; } .tiles dd { margin: 2px 0 0; font-size: 26px;
  font-weight: 600; font-variant-numeric: tabular-nums; }
figcaption p { font-size: 14px; } svg { display: block; width: 100%; height: auto; margin-top: 10px; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.end { text-anchor: end; } .mid { text-anchor: middle; } .grid { stroke: var(--line); }
.c1 { fill: var(--c1); background: var(--c1); } .c2 { fill: var(--c2); background: var(--c2); }
.c3 { fill: var(--c3); background: var(--c3); }
.line { fill: none; background: none; stroke-width: 2; stroke-linejoin: round; }
.line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: 8px 0 0; padding: 0;
  font-size: 14px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
section { margin-bottom: 16px; overflow-x: auto; } summary { cursor: pointer; font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin-top: 8px; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 0 6px 10px; text-align: right; border-top: 1px solid var(--line);
  white-space: nowrap; }
thead th { border: 0; color: var(--soft); font-weight: 500; white-space: normal;
  vertical-align: bottom; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 500; }
"""

_HEADINGS: Final = (
    "shown", "accepted", "partly", "dismissed", "acceptance", "characters saved",
    "kept 30 s", "kept 90 s", "kept 180 s", "p50 ms", "p95 ms", "from memory",
    "prefill tokens", "decode tokens",
)  # fmt: skip

_LATENCY_BARS: Final = (5, 10, 20, 40, 80, 150, 300, 600, 1200)


def page(counts: Mapping[Count, float], since: date, today: date) -> str:
    """The page about `counts`, which are not empty, of the days from `since` to `today`."""
    by_day = figures_by(counts, lambda count: count.day)
    first = max(since, date.fromisoformat(next(iter(by_day))))
    dates = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    days = [by_day.get(day.isoformat(), Figures()) for day in dates]
    labels = [f"{day.day} {day:%b}" for day in dates]
    everything = total(counts)
    body = "\n".join(
        (
            f"<header><h1>fimble, {_day(dates[0])} to {_day(dates[-1])}</h1>"
            "<p>Counted on this machine, by day, model and language; nothing was sent anywhere.</p></header>",
            _tiles(everything),
            f'<div class="plots">{"".join(_plots(labels, days, everything))}</div>',
            _section("By model", "model", figures_by(counts, lambda count: count.model)),
            _section("By language", "language", figures_by(counts, lambda count: count.language)),
            _section("By day", "day", by_day),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fimble: completions</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _tiles(figures: Figures) -> str:
    tiles = (
        ("accepted, of those read", percent(figures.acceptance)),
        ("characters saved", f"{figures.number('saved'):,}"),
        ("kept after 30 s", percent(figures.kept(30))),
        ("key to answer, half of them", f"{rounded(figures.latency(0.5))} ms"),
        ("… and 95 in 100", f"{rounded(figures.latency(0.95))} ms"),
        ("answered from memory", percent(figures.from_memory)),
    )
    cells = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _plots(labels: Sequence[str], days: Sequence[Figures], everything: Figures) -> list[str]:
    def numbers(*names: str) -> list[float]:
        return [sum(figures.number(name) for name in names) for figures in days]

    taken = numbers("accepted", "partly_accepted")
    not_taken = [max(0.0, shown - took) for shown, took in zip(numbers("shown"), taken, strict=True)]
    ranges, answers = _latency_bars(everything)
    return [
        columns(
            Words("Completions a day", "How many were shown, and what became of them."),
            labels,
            (
                Series("accepted", "c1", numbers("accepted")),
                Series("partly accepted", "c2", numbers("partly_accepted")),
                Series("not accepted", "c3", not_taken),
            ),
        ),
        lines(
            Words(
                "Acceptance", "The share that was accepted, of those on the screen for half a second.", " %"
            ),
            labels,
            (Series("acceptance", "c1", [_percentage(figures.acceptance) for figures in days]),),
        ),
        lines(
            Words("Latency by day", "Milliseconds from a key to its answer.", " ms"),
            labels,
            (
                Series("half of the answers", "c1", [figures.latency(0.5) for figures in days]),
                Series("95 in 100", "c2", [figures.latency(0.95) for figures in days]),
            ),
        ),
        columns(
            Words("Latency of all answers", "How many answers came within so many milliseconds."),
            ranges,
            (Series("answers", "c1", answers),),
        ),
        columns(
            Words("Characters saved a day", "What was accepted need not be typed."),
            labels,
            (Series("characters", "c1", numbers("saved")),),
        ),
        columns(
            Words("Kept", "How much of an accepted text still stood after a while, on average.", " %"),
            [f"{after} s" for after in KEPT_AFTER],
            (Series("kept", "c1", [_percentage(everything.kept(after)) for after in KEPT_AFTER]),),
        ),
    ]


def _latency_bars(figures: Figures) -> tuple[list[str], list[float]]:
    """The histogram in few and round steps: labels, and how many answers each has."""
    sums: Counter[float] = Counter()
    for latency_class, answers in figures.latency_classes.items():
        time = milliseconds(latency_class)
        sums[next((end for end in _LATENCY_BARS if time <= end), float("inf"))] += answers
    labels = [f"≤ {end}" for end in _LATENCY_BARS] + [f"> {_LATENCY_BARS[-1]}"]
    return labels, [float(sums[end]) for end in (*_LATENCY_BARS, float("inf"))]


def _section(title: str, first_heading: str, groups: Mapping[str, Figures]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (first_heading, *_HEADINGS))
    rows = []
    for name, figures in groups.items():
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in _cells(figures))
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f"<section><details open><summary>{escape(title)}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></details></section>"
    )


def _cells(figures: Figures) -> tuple[str, ...]:
    names = ("shown", "accepted", "partly_accepted", "dismissed")
    return (
        *(f"{figures.number(name):,}" for name in names),
        percent(figures.acceptance),
        f"{figures.number('saved'):,}",
        *(percent(figures.kept(after)) for after in KEPT_AFTER),
        rounded(figures.latency(0.5)),
        rounded(figures.latency(0.95)),
        percent(figures.from_memory),
        rounded(figures.tokens("prefilled")),
        rounded(figures.tokens("decoded")),
    )


def _percentage(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
