"""The table that `fimble stats` prints, fitted to the terminal's width.

A row is a day and a model. If that is too wide, a model's name gets a line of its own above its days, and the
least important columns are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Final

from rich.cells import cell_len

from lsp_server.statistics import Count, Figures, figures_by, table_cells, total

_DAY, _MODEL = "day", "model"
_GAP: Final = "  "
_LEFT_OUT_FIRST: Final = (
    *("decode tokens", "prefill tokens", "from memory", "kept 180 s", "kept 30 s", "p50 ms", "chars saved"),
    *("p95 ms", "accepted"),
)

_Row = Mapping[str, str]  # the cells of a row by heading, in order


def table(counts: Mapping[Count, float], width: int | None) -> list[str]:
    """The table's lines, at most `width` cells wide; None means no limit, as in a pipe.

    Only a model's name may be wider.
    """
    days = figures_by(counts, lambda count: f"{count.day}\t{count.model}")
    rows = [_row(key, figures) for key, figures in days.items()]
    rows.append(_row("all", total(counts)))
    heading, body = _aligned(rows)
    if width is None or cell_len(heading[0]) <= width:
        return _ruled(heading, body)
    return _narrow(sorted(rows[:-1], key=lambda row: row[_MODEL]), rows[-1], width)


def _narrow(rows: Sequence[_Row], foot: _Row, width: int) -> list[str]:
    """The table in blocks, one for each model."""
    heading, body, left_out = _fitting([*rows, foot], width)
    blocks = []
    for model, block in groupby(zip(rows, body, strict=False), key=lambda pair: pair[0][_MODEL]):
        blocks += [model, *(line for _, line in block)]
    lines = _ruled(heading, [*blocks, body[-1]])
    if left_out:
        lines += wrap(f"In a wider terminal and with --json: {', '.join(reversed(left_out))}.", width)
    return lines


def _fitting(rows: Sequence[_Row], width: int) -> tuple[list[str], list[str], Sequence[str]]:
    """Heading and rows without the model, with the columns that fit; and the names of those left out."""
    for number in range(len(_LEFT_OUT_FIRST) + 1):
        left_out = _LEFT_OUT_FIRST[:number]
        without = (_MODEL, *left_out)
        heading, body = _aligned(
            [{name: cell for name, cell in row.items() if name not in without} for row in rows]
        )
        if cell_len(heading[0]) <= width:
            break
    return heading, body, left_out


def _row(day_and_model: str, figures: Figures) -> _Row:
    day, _, model = day_and_model.partition("\t")
    return {_DAY: day, _MODEL: model, **table_cells(figures)}


def _aligned(rows: Sequence[_Row]) -> tuple[list[str], list[str]]:
    """The two lines of the heading, and a line for each of `rows`, all equally wide."""
    names = list(rows[0])
    split = [name.partition(" ") for name in names]
    heading = [
        [first if rest else "" for first, _, rest in split],
        [rest or first for first, _, rest in split],
    ]
    cells = [*heading, *([row[name] for name in names] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = []
        for name, cell, width in zip(names, line, widths, strict=True):
            room = " " * (width - cell_len(cell))
            padded.append(cell + room if name in (_DAY, _MODEL) else room + cell)
        lines.append(_GAP.join(padded))
    return lines[:2], lines[2:]


def _ruled(heading: Sequence[str], body: Sequence[str]) -> list[str]:
    """All lines, with a rule below the heading and one above the last line."""
    rule = "─" * cell_len(heading[0])
    return [*heading, rule, *body[:-1], rule, body[-1]]
