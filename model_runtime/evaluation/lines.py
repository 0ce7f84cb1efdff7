"""Lines of real code from which something was taken away: what an editor asks for all day.

**lines** ▶ tasks. Only lines of code count: no blank ones, comments or docstrings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["whole line", "rest of line", "block"]

WITH_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.For, ast.While, ast.If, ast.With, ast.Try)
LONGEST_BLOCK = 10
"""Lines: nobody wants more from ghost text."""


@dataclass(frozen=True)
class LineTask:
    """A place in a file: its real text before and after what was taken away."""

    kind: Kind
    prefix: str
    answer: str
    suffix: str


@dataclass(frozen=True)
class Place:
    """Where something can be taken away: from `start` to `end`, in characters."""

    text: str
    start: int
    end: int


def line_places(texts: Sequence[str], kind: Kind) -> list[Place]:
    """All places of a kind."""
    spans = _blocks if kind == "block" else _code_lines
    return [Place(text, start, end) for text in texts for start, end in spans(text)]


def line_tasks(places: Sequence[Place], kind: Kind, count: int, seed: int) -> list[LineTask]:
    """At most `count` of the places, drawn by `seed`. Of a line of which the rest is asked a part stays."""
    random = Random(seed)
    tasks = []
    for place in random.sample(places, min(count, len(places))):
        text, cursor = place.text, place.start
        if kind == "rest of line":
            cursor = random.randrange(place.start, place.end)
        tasks.append(LineTask(kind, text[:cursor], text[cursor : place.end], text[place.end :]))
    return tasks


def _code_lines(text: str) -> Iterator[tuple[int, int]]:
    """Start (after the indentation) and end, in characters, of lines that are neither blank, comment nor
    part of a docstring."""
    prose = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        code = line.strip()
        if code and not code.startswith("#") and number not in prose:
            yield start + len(line) - len(line.lstrip()), start + len(line.rstrip())
        start += len(line) + 1


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Start (after the indentation) and end, in characters, of the bodies of statements that have one."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    lines = text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, WITH_BODY):
            continue
        first, last = node.body[0].lineno, node.body[-1].end_lineno or node.body[-1].lineno
        if first == node.lineno or last - first >= LONGEST_BLOCK:
            continue
        indentation = len(lines[first - 1]) - len(lines[first - 1].lstrip())
        yield starts[first - 1] + indentation, starts[last - 1] + len(lines[last - 1].rstrip())
