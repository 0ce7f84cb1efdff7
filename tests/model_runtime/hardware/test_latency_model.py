"""The latency model on simulated machines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.hardware.latency_model import CALIBRATION_SECONDS, CHUNK_SIZES, LatencyModel

Machine = Callable[[int, int], float]
"""(rows, start) → seconds"""

CHUNK_SECONDS = 0.04


def machine(
    weights: float = 0.005, row: float = 0.0005, collapse: float = 0.0, attention: float = 1e-4
) -> Machine:
    """Reads its weights once a pass and computes rows; some products lose their speed at two rows already."""
    return lambda rows, start: (weights + row * rows + collapse * (rows > 1)) * (1 + attention * start)


LAPTOP = machine()


def measured(run: Machine = LAPTOP) -> LatencyModel:
    model = LatencyModel()
    model.calibrate(run, 2048)
    return model


def prefill(model: LatencyModel, run: Machine, tokens: int) -> list[float]:
    """Compute a prompt in pieces, as the engine does; the seconds of each."""
    start, took = 0, []
    while start < tokens:
        rows = min(tokens - start, model.chunk_size(start, CHUNK_SECONDS))
        took.append(run(rows, start))
        model.record(rows, start, took[-1])
        start += rows
    return took


@pytest.mark.parametrize("rows", [1, 2, 8, 50, 64])
@pytest.mark.parametrize("start", [0, 1000])
def test_a_calibrated_machine_is_predicted(rows: int, start: int) -> None:
    assert measured().forward_seconds(rows, start) == pytest.approx(LAPTOP(rows, start), rel=0.15)


def test_one_outlier_changes_nothing() -> None:
    model = measured()
    for seconds in (0.0055, 0.0055, 1.0, 0.0055):
        model.record(1, 0, seconds)
    assert model.forward_seconds(1, 0) == pytest.approx(0.0055)
    assert model.forward_seconds(32, 0) == pytest.approx(LAPTOP(32, 0))


def test_a_slowdown_is_noticed_within_a_few_tokens_for_all_passes() -> None:
    model = measured()
    for _ in range(6):
        model.record(1, 500, 3 * LAPTOP(1, 500))
    assert model.forward_seconds(1, 500) == pytest.approx(3 * LAPTOP(1, 500))
    assert model.forward_seconds(32, 500) == pytest.approx(3 * LAPTOP(32, 500))
    for _ in range(6):
        model.record(1, 500, LAPTOP(1, 500))
    assert model.forward_seconds(32, 500) == pytest.approx(LAPTOP(32, 500))


def test_a_machine_that_was_busy_during_calibration_is_predicted_later() -> None:
    model = measured(lambda rows, start: 5 * LAPTOP(rows, start))
    for _ in range(6):
        model.record(1, 500, LAPTOP(1, 500))
    assert model.forward_seconds(32, 0) == pytest.approx(LAPTOP(32, 0), rel=0.1)


def test_earlier_tokens_make_a_pass_slower_and_a_chunk_smaller() -> None:
    run = machine(attention=2e-3)
    model = measured(run)
    assert model.forward_seconds(32, 2000) == pytest.approx(run(32, 2000), rel=0.1)
    assert model.chunk_size(2000, CHUNK_SECONDS) < model.chunk_size(0, CHUNK_SECONDS)


@pytest.mark.parametrize("run", [LAPTOP, machine(0.0001, 0.00001), machine(0.002, 0.0003, 0.01)])
def test_chunks_grow_to_what_fits_and_hardly_one_is_too_long(run: Machine) -> None:
    model = measured(run)
    prefill(model, run, 2048)
    took = prefill(model, run, 2048)
    assert max(took) <= 1.25 * CHUNK_SECONDS
    largest = [rows for rows in CHUNK_SIZES if run(rows, 0) <= CHUNK_SECONDS][-1]
    assert run(model.chunk_size(0, CHUNK_SECONDS), 0) >= 0.6 * run(largest, 0)


def test_where_one_row_takes_too_long_chunks_are_still_efficient() -> None:
    run = machine(0.4, 0.02, 0.5)
    model = measured(run)
    assert len(prefill(model, run, 2048)) < 200  # not a token at a time


def test_the_time_of_a_prompt_is_predicted() -> None:
    model = measured()
    prefill(model, LAPTOP, 2048)
    expected = model.prefill_seconds(2048, 0, CHUNK_SECONDS)
    assert expected == pytest.approx(sum(prefill(model, LAPTOP, 2048)), rel=0.2)
    assert model.prefill_seconds(0, 2048, CHUNK_SECONDS) == 0.0


def test_the_cost_of_a_draft_is_relative_to_one_row() -> None:
    model = measured(machine(0.01, 0.001))
    assert model.relative_cost(1, 0) == 1.0
    assert model.relative_cost(8, 0) == pytest.approx(18 / 11, rel=0.05)


@given(st.floats(1e-5, 5.0), st.floats(0.0, 0.5))
def test_calibration_takes_no_longer_than_allowed(weights: float, row: float) -> None:
    took: list[float] = []

    def run(rows: int, start: int) -> float:
        took.append(weights + row * rows)
        return took[-1]

    model = LatencyModel()
    model.calibrate(run, 2048)
    assert took
    assert sum(took[:-2]) <= CALIBRATION_SECONDS + took[0] + took[1]
    assert model.forward_seconds(1, 0) > 0


@given(
    st.lists(st.tuples(st.integers(1, 1024), st.integers(0, 4096), st.floats(0, 10)), max_size=30),
    st.integers(1, 2048),
    st.integers(0, 4096),
)
def test_whatever_was_recorded_predictions_are_finite_and_chunks_are_of_a_known_size(
    passes: list[tuple[int, int, float]], rows: int, start: int
) -> None:
    model = measured()
    for seen in passes:
        model.record(*seen)
    assert 0 < model.forward_seconds(rows, start) < float("inf")
    assert model.chunk_size(start, CHUNK_SECONDS) in CHUNK_SIZES


def test_relearning_forgets_larger_passes_only() -> None:
    model = measured()
    model.relearn(8)
    for _ in range(3):
        model.record(64, 0, LAPTOP(64, 0) / 2)
    assert model.forward_seconds(64, 0) == pytest.approx(LAPTOP(64, 0) / 2, rel=0.1)
    assert model.forward_seconds(1, 0) == pytest.approx(LAPTOP(1, 0), rel=0.15)
