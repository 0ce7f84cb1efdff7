"""Which answers are right: by their text, and by what the program then does.

evaluating ▶ **scoring**. Two ways to be right are kept apart, since published figures
differ by 10 points between them: the first line alone, and all that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from model_runtime.api import Score
from model_runtime.evaluation.tasks import Task

Passes = Callable[[str], bool]
"""Whether a program passes its tests."""


def first_line(text: str) -> str:
    """The first line that is not empty, without the space around it."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def is_first_line(task: Task, text: str) -> bool:
    return first_line(text) == first_line(task.answer)


def is_whole(task: Task, text: str) -> bool:
    return text.rstrip() == task.answer.rstrip()


def score(tasks: Sequence[Task], texts: Iterable[str], passes: Passes | None) -> Score:
    """The shares of tasks that are right; `passes` is None where no program is run, or there are no tests."""
    first = whole = passed = 0
    for task, text in zip(tasks, texts, strict=True):
        first += is_first_line(task, text)
        whole += is_whole(task, text)
        passed += passes is not None and (is_whole(task, text) or passes(task.program(text)))
    return Score(
        first_line=first / len(tasks),
        whole=whole / len(tasks),
        passed=passed / len(tasks) if passes is not None else None,
    )
