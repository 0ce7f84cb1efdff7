"""Baselines that need no model."""

from __future__ import annotations

from model_runtime.evaluation.baseline import copied, most_common

CODE = "first = load(a)\ncheck(first)\nsecond = load(b)\ncheck(second)\n"


def test_the_most_common_answer_does_not_depend_on_the_order() -> None:
    assert most_common(["b", "a", "c", "a", "b"]) == most_common(["a", "b", "b", "c", "a"]) == "a"


def test_at_the_start_of_a_line_the_successor_of_the_same_line_is_copied() -> None:
    assert copied("begin()\nrun()\nend()\nbegin()\n", "") == "run()"


def test_within_a_line_the_nearest_line_with_the_same_beginning_is_copied() -> None:
    assert copied(CODE + "third = 1\nche", "") == "ck(second)"


def test_a_line_after_the_cursor_is_copied_if_none_before_it_matches() -> None:
    assert copied("def area():\n    ret", "\n\n\ndef volume():\n    return 1\n") == "urn 1"


def test_nothing_is_copied_if_no_line_matches() -> None:
    assert copied("x = 1\ny", "") == ""
    assert copied("x = 1\n", "\n") == ""
    assert copied("", "") == ""
