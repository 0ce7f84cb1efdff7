"""The tasks of the published sets, and those drawn from source files."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import get_args

import pytest

from model_runtime.api import Suite
from model_runtime.evaluation.lines import draw_line_tasks, find_gaps
from model_runtime.evaluation.tasks import EVALUATION_SETS, INFILLING, KINDS, read_tasks

CODE = '''"""Docstring, no code."""

import math


def area(radius, *, precise=True):
    """More prose."""
    # a comment
    if precise:
        factor = math.pi
        return factor * radius ** 2

    return 3 * radius ** 2
'''


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    path.write_text(json.dumps({"package": "p", "path": "a.py", "text": CODE}) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("suite", "count"),
    [("single-line", 1033), ("multi-line", 5815), ("random-span", 1640), ("left-to-right", 164)],
)
def test_every_set_is_complete(suite: Suite, count: int) -> None:
    tasks, total = read_tasks(suite, None, None, 0)
    assert len(tasks) == total == count
    assert len({task.name for task in tasks}) == count
    assert all(task.suite == suite and task.prefix and task.tests for task in tasks)


def test_a_task_with_its_answer_is_a_program(held_out: Path) -> None:
    for suite in (*INFILLING, "left-to-right"):
        for task in read_tasks(suite, None, 20, 0)[0]:
            ast.parse(task.program(task.answer))


def test_for_a_missing_line_only_the_first_line_of_an_answer_is_run() -> None:
    (task, *_), _ = read_tasks("single-line", None, 1, 0)
    assert task.program("\n" + task.answer + "    never ends(") == task.program("\n" + task.answer)
    (task, *_), _ = read_tasks("multi-line", None, 1, 0)
    assert task.program(task.answer + "    never ends(") != task.program(task.answer)


def test_the_sets_come_with_their_licence_and_where_they_are_from() -> None:
    for folder in EVALUATION_SETS.iterdir():
        assert "MIT License" in (folder / "LICENSE").read_text(encoding="utf-8")
        assert "github" in (folder / "SOURCE").read_text(encoding="utf-8")


@pytest.mark.parametrize("suite", get_args(Suite))
def test_a_sample_follows_from_the_seed(suite: Suite, held_out: Path) -> None:
    first, again, other = (read_tasks(suite, held_out, 3, seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert len(first) <= 3
    if suite not in KINDS:
        assert first != other


def test_lines_are_code_with_the_files_real_text_around_them() -> None:
    tasks = draw_line_tasks(find_gaps([CODE], "whole line"), 100, 0)
    assert {task.answer for task in tasks} == {
        "import math",
        "def area(radius, *, precise=True):",
        "if precise:",
        "factor = math.pi",
        "return factor * radius ** 2",
        "return 3 * radius ** 2",
    }
    assert all(task.prefix + task.answer + task.suffix == CODE for task in tasks)


def test_the_rest_of_a_line_is_never_empty() -> None:
    tasks = draw_line_tasks(find_gaps([CODE], "rest of line"), 100, 0)
    assert all(task.answer.strip() for task in tasks)
    assert all(task.prefix + task.answer + task.suffix == CODE for task in tasks)


def test_a_block_is_a_body_without_what_follows_it() -> None:
    tasks = draw_line_tasks(find_gaps([CODE], "block"), 100, 0)
    assert "factor = math.pi\n        return factor * radius ** 2" in {task.answer for task in tasks}
    assert all(task.prefix + task.answer + task.suffix == CODE for task in tasks)
