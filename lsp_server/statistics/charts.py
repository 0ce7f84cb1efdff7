"""Plots as SVG text that stands in a page: stacked columns and lines.

statistics_page ▶ **charts**. Colours are classes (`c1`, `c2`, `c3`), to which the page's style gives a colour
for light screens and one for dark ones. Every plot has a title and a description for who does not see it, and
every mark its figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 220

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 10, 26
_MOST_LABELS: Final = 10
_STEPS: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Series:
    """What is drawn in one colour: a name, a class, and a value for each label (None: no mark)."""

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Words:
    """What is said of a plot: its title, what it shows, the unit behind its values."""

    title: str
    description: str
    unit: str = ""


def columns(words: Words, labels: Sequence[str], series: Sequence[Series]) -> str:
    """A column for each label, in which the series are stacked from the bottom up."""
    stacks = [sum(one.values[place] or 0 for one in series) for place in range(len(labels))]
    axes = _Axes(labels, max(stacks, default=0), words.unit)
    marks = []
    for place, label in enumerate(labels):
        base = 0.0
        tip = ", ".join(f"{one.name} {_figure(one.values[place] or 0)}{words.unit}" for one in series)
        rectangles = []
        for one in series:
            value = one.values[place] or 0
            if value > 0:
                top = axes.y(base + value)
                height = axes.y(base) - top
                rectangles.append(
                    f'<rect class="{one.colour}" x="{axes.x(place) - axes.bar / 2:.1f}" y="{top:.1f}" '
                    f'width="{axes.bar:.1f}" height="{height:.1f}"/>'
                )
                base += value
        if rectangles:
            marks.append(f"<g><title>{escape(f'{label}: {tip}')}</title>{''.join(rectangles)}</g>")
    return _plot(words, axes, marks, series)


def lines(words: Words, labels: Sequence[str], series: Sequence[Series]) -> str:
    """A line for each series, with a dot for each label that has a value; it leaves out those without."""
    axes = _Axes(labels, max((value or 0 for one in series for value in one.values), default=0), words.unit)
    marks = []
    for one in series:
        dots = [(place, value) for place, value in enumerate(one.values) if value is not None]
        points = " ".join(f"{axes.x(place):.1f},{axes.y(value):.1f}" for place, value in dots)
        marks.append(f'<polyline class="line {one.colour}" points="{points}"/>')
        for place, value in dots:
            tip = escape(f"{labels[place]}: {one.name} {_figure(value)}{words.unit}")
            marks.append(
                f'<circle class="{one.colour}" cx="{axes.x(place):.1f}" cy="{axes.y(value):.1f}" r="3">'
                f"<title>{tip}</title></circle>"
            )
    return _plot(words, axes, marks, series)


class _Axes:
    """Where a value stands in the picture, and the grid behind it."""

    def __init__(self, labels: Sequence[str], largest: float, unit: str) -> None:
        self._labels, self._unit = labels, unit
        self._step = _round_step(largest / 4)
        self._top = self._step * max(1, math.ceil(largest / self._step - 1e-9))
        self._slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
        self.bar = min(0.72 * self._slot, 40.0)

    def x(self, place: int) -> float:
        return _LEFT + (place + 0.5) * self._slot

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / self._top

    def grid(self) -> str:
        parts = []
        for number in range(round(self._top / self._step) + 1):
            value = number * self._step
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(
                f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{_figure(value)}{self._unit}</text>'
            )
        every = math.ceil(len(self._labels) / _MOST_LABELS)
        for place, label in enumerate(self._labels):
            if place % every == 0:
                parts.append(
                    f'<text class="mid" x="{self.x(place):.1f}" y="{HEIGHT - 8}">{escape(label)}</text>'
                )
        return "".join(parts)


def _plot(words: Words, axes: _Axes, marks: Sequence[str], series: Sequence[Series]) -> str:
    legend = ""
    if len(series) > 1:
        keys = (f'<li><i class="{one.colour}"></i>{escape(one.name)}</li>' for one in series)
        legend = f'<ul class="legend">{"".join(keys)}</ul>'
    return (
        f"<figure><figcaption><h2>{escape(words.title)}</h2><p>{escape(words.description)}</p></figcaption>{legend}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(words.title)}</title><desc>{escape(words.description)}</desc>"
        f"{axes.grid()}{''.join(marks)}</svg></figure>"
    )


def _round_step(step: float) -> float:
    """The next larger step that people count in."""
    if step <= 0:
        return 1.0
    power = float(10 ** math.floor(math.log10(step)))
    return next(power * factor for factor in _STEPS if power * factor >= step * (1 - 1e-9))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
