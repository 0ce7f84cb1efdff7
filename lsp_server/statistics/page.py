"""The HTML page that ``fimble stats --html`` writes: three charts and three tables.

The page is one file that loads nothing and runs no script. Charts are inline SVG, with their figures as
tooltips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final

from lsp_server.statistics.figures import Figures, figures_by, table_cells, total
from lsp_server.statistics.store import Count

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 220, 58, 24
_MAX_LABELS: Final = 10
_STEPS: Final = (1, 2, 2.5, 5, 10)

_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fbfbf9; --ink: #1d252c; --soft: #5c6873; --line: #e2e6e9;
  --c0: #c3ccd3; --c1: #7fb8a8; --c2: #1f6f5c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e6eaed; --soft: #9aa6b0;
  --line: #2e363c; --c0: #4a555e; --c1: #2f8a72; --c2: #6fdcbc; } }
body { margin: 0 auto; max-width: 1080px; padding: 32px 20px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h2 { font-size: 16px; margin: 32px 0 0; } p, figcaption { color: var(--soft); margin: 0; }
main { display: grid; gap: 0 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
figure, section { margin: 0; } section { overflow-x: auto; } svg { width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); }
.c0 { fill: var(--c0); color: var(--c0); } .c1 { fill: var(--c1); color: var(--c1); }
.c2 { fill: var(--c2); color: var(--c2); } figcaption span { margin-right: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 0 6px 12px; text-align: right; border-top: 1px solid var(--line); font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; } thead th { border: 0; color: var(--soft); }
tbody th, td { white-space: nowrap; }
"""

_Series = Mapping[str, Sequence[float]]  # a value for each day, by what it counts


def page(counts: Mapping[Count, float], since: date, today: date) -> str:
    """The page about `counts`, which are not empty, of the days from `since` to `today`."""
    by_day = figures_by(counts, lambda count: count.day)
    first = max(since, date.fromisoformat(next(iter(by_day))))
    dates = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    days = [by_day.get(day.isoformat(), Figures()) for day in dates]
    labels = [f"{day.day} {day:%b}" for day in dates]
    charts = (
        ("Completions shown by day", "", _outcomes(days)),
        ("Milliseconds from a key to its answer, by day", " ms", _latencies(days)),
        ("Characters saved by day", "", {"characters": [figures.number("saved") for figures in days]}),
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fimble: completions</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>fimble, {dates[0]} to {dates[-1]}</h1>\n"
        "<p>Counted on this machine, by day, model and language; nothing was sent anywhere.</p>\n"
        f"<main>{''.join(_chart(title, unit, labels, series) for title, unit, series in charts)}</main>\n"
        f"{_table('model', {**figures_by(counts, lambda count: count.model), 'all': total(counts)})}\n"
        f"{_table('language', figures_by(counts, lambda count: count.language))}\n"
        f"{_table('day', by_day)}\n</body>\n</html>\n"
    )


def _outcomes(days: Sequence[Figures]) -> _Series:
    accepted = [figures.number("accepted") for figures in days]
    partly = [figures.number("partly_accepted") for figures in days]
    return {
        "shown": [figures.number("shown") for figures in days],
        "accepted, at least in part": [one + other for one, other in zip(accepted, partly, strict=True)],
        "accepted as a whole": accepted,
    }


def _latencies(days: Sequence[Figures]) -> _Series:
    shares = {"95 % of the answers": 0.95, "half of the answers": 0.5}
    return {name: [figures.latency(share) or 0 for figures in days] for name, share in shares.items()}


def _chart(title: str, unit: str, labels: Sequence[str], series: _Series) -> str:
    """A bar for each label; each of the `series` is drawn over the one before it, which has larger values."""
    largest = max(max(values) for values in series.values())
    step = _round_step(largest / 4)
    top = step * max(1, math.ceil(largest / step - 1e-9))
    scale = (_HEIGHT - 2 * _BOTTOM) / top
    slot = (_WIDTH - _LEFT) / len(labels)
    bar = min(0.72 * slot, 40.0)
    ground = _HEIGHT - _BOTTOM

    parts = []
    for number in range(round(top / step) + 1):
        y = ground - number * step * scale
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(f"{_short(number * step)}{unit}", _LEFT - 6, y + 4, "end"))
    for number, label in enumerate(labels):
        middle = _LEFT + (number + 0.5) * slot
        tooltip = ", ".join(f"{name} {_short(values[number])}{unit}" for name, values in series.items())
        parts.append(f"<g><title>{escape(f'{label}: {tooltip}')}</title>")
        for colour, values in enumerate(series.values()):
            height = values[number] * scale
            place = f'x="{middle - bar / 2:.1f}" y="{ground - height:.1f}"'
            parts.append(f'<rect class="c{colour}" {place} width="{bar:.1f}" height="{height:.1f}"/>')
        parts.append("</g>")
        if number % math.ceil(len(labels) / _MAX_LABELS) == 0:
            parts.append(_text(label, middle, _HEIGHT - 6, "middle"))
    legend = "".join(f'<span><b class="c{i}">■</b> {escape(name)}</span>' for i, name in enumerate(series))
    return (
        f"<figure><h2>{escape(title)}</h2><figcaption>{legend}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg></figure>"
    )


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _round_step(step: float) -> float:
    """The next larger round number for an axis."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(power * factor for factor in _STEPS if power * factor >= step * (1 - 1e-9))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def _table(heading: str, groups: Mapping[str, Figures]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in (heading, *table_cells(Figures())))
    rows = []
    for name, figures in groups.items():
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in table_cells(figures).values())
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f"<section><h2>By {heading}</h2>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )
