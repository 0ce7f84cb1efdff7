"""Tasks from real code: lines, rests of lines and blocks are removed from files and asked for.

Only lines of code are used: no blank lines, comments or docstrings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["whole line", "rest of line", "block"]

WITH_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.For, ast.While, ast.If, ast.With, ast.Try)
MAX_BLOCK_LINES = 10
"""More is not useful as ghost text."""


@dataclass(frozen=True)
class LineTask:
    """A gap in a file: the removed text, and the file's text before and after it."""

    kind: Kind
    prefix: str
    answer: str
    suffix: str


@dataclass(frozen=True)
class Gap:
    """What can be removed from a file: from `start` to `end`, in characters."""

    kind: Kind
    text: str
    start: int
    end: int


def find_gaps(texts: Sequence[str], kind: Kind) -> list[Gap]:
    """All gaps of a kind."""
    spans = _blocks if kind == "block" else _code_lines
    return [Gap(kind, text, start, end) for text in texts for start, end in spans(text)]


def draw_line_tasks(gaps: Sequence[Gap], count: int, seed: int) -> list[LineTask]:
    """Draw at most `count` of the gaps. The rest of a line begins at a random character of the line."""
    random = Random(seed)
    tasks = []
    for gap in random.sample(gaps, min(count, len(gaps))):
        text, cursor = gap.text, gap.start
        if gap.kind == "rest of line":
            cursor = random.randrange(gap.start, gap.end)
        tasks.append(LineTask(gap.kind, text[:cursor], text[cursor : gap.end], text[gap.end :]))
    return tasks


def _code_lines(text: str) -> Iterator[tuple[int, int]]:
    """Start (after the indentation) and end, in characters, of lines of code."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        code = line.strip()
        if code and not code.startswith("#") and number not in docstrings:
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
        if first == node.lineno or last - first >= MAX_BLOCK_LINES:
            continue
        indentation = len(lines[first - 1]) - len(lines[first - 1].lstrip())
        yield starts[first - 1] + indentation, starts[last - 1] + len(lines[last - 1].rstrip())
