"""Scores answers by exact match and by the tests of the completed program.

Exact match of the first line and of the whole answer are separate: published figures differ by 10 points
between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from model_runtime.api import Score
from model_runtime.evaluation.tasks import Task

Passes = Callable[[str], bool]
"""Whether a program passes its tests."""


def first_line(text: str) -> str:
    """The first line that is not blank, without surrounding whitespace."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def matches_first_line(task: Task, text: str) -> bool:
    return first_line(text) == first_line(task.answer)


def matches_whole(task: Task, text: str) -> bool:
    return text.rstrip() == task.answer.rstrip()


def score(tasks: Sequence[Task], texts: Iterable[str], passes: Passes | None) -> Score:
    """The shares of right answers; `passes` is None if no programs are run or there are no tests."""
    first = whole = passed = 0
    for task, text in zip(tasks, texts, strict=True):
        first += matches_first_line(task, text)
        whole += matches_whole(task, text)
        passed += passes is not None and (matches_whole(task, text) or passes(task.program(text)))
    return Score(
        first_line=first / len(tasks),
        whole=whole / len(tasks),
        passed=passed / len(tasks) if passes is not None else None,
    )
