"""What is left of an accepted completion, and when to look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.statistics.retention import Accepted, KeptChecks, kept_share

TEXT = "    total = sum(prices)\n    return total * (1 + tax)"
BEFORE, AFTER = "import this\n\ndef price(prices, tax):\n", "\n\nprint(price([1], 0))\n"


def accepted(text: str = TEXT, offset: int = len(BEFORE), uri: str = "file:///a.py") -> Accepted:
    return Accepted(uri, text, offset, "default", "python")


def test_what_stands_unchanged_is_kept_wholly() -> None:
    assert kept_share(accepted(), BEFORE + TEXT + AFTER) == 1


def test_what_has_moved_is_kept_wholly() -> None:
    assert kept_share(accepted(), "x = 1\n" * 5000 + BEFORE + TEXT + AFTER) == 1


def test_a_formatter_takes_nothing_away() -> None:
    formatted = TEXT.replace("    ", "\t").replace("sum(prices)", "sum(\n\t\tprices\n\t)")
    assert kept_share(accepted(), BEFORE + formatted + AFTER) == 1


def test_a_small_change_costs_a_little() -> None:
    share = kept_share(accepted(), BEFORE + TEXT.replace("tax", "vat") + AFTER)
    assert 0.9 < share < 1


@pytest.mark.parametrize("left", ["", "    raise NotImplementedError\n", "    pass"])
def test_what_was_deleted_or_written_anew_is_gone(left: str) -> None:
    assert kept_share(accepted(), BEFORE + left + AFTER) == 0


def test_the_same_text_far_away_is_not_what_was_accepted() -> None:
    short = accepted("x)", offset=0)
    assert kept_share(short, "print(y)\n" + "#\n" * 5000 + "print(x)\n") <= 0.5


def test_an_empty_document_keeps_nothing() -> None:
    assert kept_share(accepted(), "") == 0


@given(st.text("abc", min_size=1, max_size=12), st.text("abc", max_size=20))
def test_a_text_is_kept_by_no_more_than_the_plain_table_of_edit_distances_says(
    text: str, document: str
) -> None:
    row = list(range(len(text) + 1))
    best = row[-1]
    for character in document:
        new = [0]
        for index, wanted in enumerate(text, 1):
            new.append(min(row[index] + 1, new[-1] + 1, row[index - 1] + (wanted != character)))
        row = new
        best = min(best, row[-1])
    assert kept_share(accepted(text, 0), document) <= 1 - best / len(text) + 1e-9


def test_each_completion_is_looked_at_three_times() -> None:
    checks, one = KeptChecks(), accepted()
    assert checks.next_time is None
    checks.add(1000, one)
    seen: list[tuple[float, int, Accepted]] = []
    while (time := checks.next_time) is not None:
        assert checks.due(time - 0.001) == []
        seen += [(time, *check) for check in checks.due(time)]
    assert seen == [(1030, 30, one), (1090, 90, one), (1180, 180, one)]


def test_a_timer_that_is_late_gets_all_at_once() -> None:
    checks = KeptChecks()
    checks.add(0, accepted("a"))
    checks.add(10, accepted("b"))
    assert [(after, one.text) for after, one in checks.due(95)] == [(30, "a"), (30, "b"), (90, "a")]


def test_a_document_that_is_closed_is_not_looked_at() -> None:
    checks = KeptChecks()
    checks.add(0, accepted(uri="file:///closed.py"))
    checks.add(5, accepted(uri="file:///open.py"))
    checks.forget("file:///closed.py")
    assert {one.uri for _, one in checks.due(1000)} == {"file:///open.py"}


def test_the_list_does_not_grow_without_end() -> None:
    checks = KeptChecks()
    for number in range(10_000):
        checks.add(number, accepted())
    assert len(checks.due(float("inf"))) < 1000
