"""Answers that need no model."""

from __future__ import annotations

from model_runtime.evaluation.baseline import commonest, copied

CODE = "first = load(a)\ncheck(first)\nsecond = load(b)\ncheck(second)\n"


def test_the_commonest_answer_is_the_same_whatever_the_order() -> None:
    assert commonest(["b", "a", "c", "a", "b"]) == commonest(["a", "b", "b", "c", "a"]) == "a"


def test_at_a_lines_start_the_line_is_copied_that_followed_the_same_line() -> None:
    assert copied("begin()\nrun()\nend()\nbegin()\n", "") == "run()"


def test_within_a_line_it_is_the_nearest_that_begins_alike() -> None:
    assert copied(CODE + "third = 1\nche", "") == "ck(second)"


def test_what_stands_after_the_cursor_counts_where_nothing_before_it_does() -> None:
    assert copied("def area():\n    ret", "\n\n\ndef volume():\n    return 1\n") == "urn 1"


def test_nothing_alike_is_nothing_copied() -> None:
    assert copied("x = 1\ny", "") == ""
    assert copied("x = 1\n", "\n") == ""
    assert copied("", "") == ""
