"""Debouncing: a quick model is asked at every key, a slow one in a pause."""

from __future__ import annotations

import pytest

from lsp_server.completion.debounce import Debounce


def typed(interval: float, answer: float | None) -> Debounce:
    """After fifty keys so far apart, and as many answers that took so long."""
    debounce = Debounce()
    for key in range(50):
        debounce.key(key * interval)
        if answer is not None:
            debounce.answered(answer)
    return debounce


def test_a_model_that_nothing_is_known_of_is_asked_at_once() -> None:
    assert Debounce().delay() == 0
    assert typed(0.15, None).delay() == 0


@pytest.mark.parametrize(("interval", "answer"), [(0.15, 0.03), (0.15, 0.15), (0.3, 0.25), (0.01, 0.09)])
def test_a_model_that_answers_between_two_keys_is_asked_at_once(interval: float, answer: float) -> None:
    assert typed(interval, answer).delay() == 0


@pytest.mark.parametrize(("interval", "answer"), [(0.15, 0.2), (0.15, 5), (0.05, 0.11), (0.39, 0.4)])
def test_a_slow_model_is_asked_after_a_tenth_to_four_tenths_of_a_second(
    interval: float, answer: float
) -> None:
    assert 0.1 <= typed(interval, answer).delay() <= 0.4


def test_pauses_are_no_intervals_of_typing() -> None:
    debounce = typed(0.15, 0.2)
    delay = debounce.delay()
    for key in range(50):
        debounce.key(100 + key * 5)
    assert debounce.delay() == delay


def test_another_model_is_judged_by_its_own_answers() -> None:
    debounce = typed(0.15, 5)
    debounce.clear_answers()
    assert debounce.delay() == 0
