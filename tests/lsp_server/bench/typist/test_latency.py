"""What counts as a wait, and what a session comes to in figures."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from lsp_server.bench.typist import Keystroke, Quantiles, TypedKey, summarize, waits
from lsp_server.bench.typist.session import Edit
from model_runtime.api import Usage


def key(at: float, shown: float | None, answered: float | None = None) -> TypedKey:
    typed = Keystroke(at, "type", Edit(0, 0, "x"), 1)
    return TypedKey(typed, at, shown, shown if answered is not None else None, answered)


def test_a_key_waits_for_its_own_text() -> None:
    assert waits([key(1.0, 1.02, 1.1), key(2.0, 2.01, 2.1)]) == pytest.approx([20, 10])


def test_a_key_that_was_overtaken_waits_for_the_text_of_a_later_one() -> None:
    assert waits([key(1.0, None), key(1.2, None), key(1.4, 1.5, 1.6)]) == pytest.approx([500, 300, 100])


def test_a_key_that_was_overtaken_after_its_first_text_has_not_waited_longer() -> None:
    assert waits([key(1.0, 1.1), key(1.2, 1.3, 1.4)]) == pytest.approx([100, 100])


def test_where_there_is_nothing_to_show_nobody_waits() -> None:
    assert waits([key(1.0, None), key(1.2, None, 1.3), key(1.4, 1.5, 1.6)]) == pytest.approx([100])


def test_keys_that_nothing_came_of_at_the_end_are_no_waits() -> None:
    assert waits([key(1.0, 1.1, 1.2), key(2.0, None)]) == pytest.approx([100])


def test_quantiles_are_values_that_occurred() -> None:
    assert Quantiles.of([float(n) for n in range(1, 101)]) == Quantiles(50, 95)
    assert Quantiles.of([3.0]) == Quantiles(3, 3)
    assert Quantiles.of([]) is None


def test_a_session_in_figures() -> None:
    keys = [
        key(1.0, 1.02, 1.1),
        key(2.0, None, 2.1),
        key(3.0, None),
        TypedKey(Keystroke(4.0, "accept", Edit(0, 0, "abc"), 3), 4.0, 4.01, 4.02, 4.03),
    ]
    summary = summarize(keys, Usage(200, 188, 8))
    assert (summary.keys, summary.answered, summary.accepts) == (4, 3, 1)
    assert (summary.prefilled_mean, summary.decoded_mean) == (3, 2)
    assert summary.reused_share == pytest.approx(0.94)
    assert summary.overtaken_share == 0.25
    assert summary.empty_share == pytest.approx(1 / 3)
    assert summary.accepted_share == 0.5
    assert json.loads(json.dumps(asdict(summary)))["first_text_ms"]["p95"] == pytest.approx(1010)


def test_a_session_of_nothing_has_figures_too() -> None:
    summary = summarize([], Usage())
    assert (summary.keys, summary.first_text_ms, summary.reused_share) == (0, None, None)
