"""Matrices in groups: what is packed comes back, and quantising rounds to the next level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.native.library import GROUP, ROWS
from model_runtime.native.matrices import (
    ALIGNMENT,
    Bits,
    GroupedRows,
    join_rows,
    pack,
    quantize_rows,
    with_row_scales,
)
from tests.model_runtime.native.support import FORMATS, random_rows

shapes = st.tuples(st.integers(1, 70), st.integers(1, 300))
"""Rows, columns."""
seeds = st.integers(0, 2**32 - 1)
forms = st.sampled_from(list(FORMATS))


def assert_equal(found: GroupedRows, expected: GroupedRows) -> None:
    assert (found.bits, found.offset) == (expected.bits, expected.offset)
    assert found.values.dtype == expected.values.dtype
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.scales, expected.scales)
    assert (found.minima is None) == (expected.minima is None)
    if found.minima is not None and expected.minima is not None:
        assert np.array_equal(found.minima, expected.minima)


@settings(max_examples=40)
@given(shape=shapes, seed=seeds, form=forms)
def test_what_is_packed_comes_back(shape: tuple[int, int], seed: int, form: str) -> None:
    rows = random_rows(np.random.default_rng(seed), shape, *FORMATS[form])
    packed = pack(rows)
    assert_equal(packed.rows(), rows)
    assert packed.shape == shape
    assert packed.numel() == shape[0] * shape[1]
    assert np.array_equal(packed.dequantized(), rows.dequantized())


@settings(max_examples=30)
@given(shape=shapes, seed=seeds, form=forms)
def test_a_packed_matrix_takes_its_bits_and_its_scales_in_aligned_memory(
    shape: tuple[int, int], seed: int, form: str
) -> None:
    bits, offset, with_minima = FORMATS[form]
    packed = pack(random_rows(np.random.default_rng(seed), shape, bits, offset, with_minima))
    elements = -(-shape[0] // ROWS) * ROWS * -(-shape[1] // GROUP) * GROUP
    assert packed.nbytes == elements * bits // 8 + elements // GROUP * (4 if with_minima else 2)
    for array in (packed.values, packed.scales, packed.minima):
        assert array is None or array.ctypes.data % ALIGNMENT == 0


def test_rows_that_were_packed_are_a_copy() -> None:
    rows = random_rows(np.random.default_rng(0), (16, 32), 8, 0, True)
    packed, before = pack(rows), rows.dequantized()
    rows.values[:] = 1
    rows.scales[:] = 1
    assert np.array_equal(packed.dequantized(), before)


scales = st.sampled_from([1e-6, 1e-3, 1.0, 100.0])


@settings(max_examples=40)
@given(shape=shapes, seed=seeds, scale=scales)
def test_a_value_in_8_bits_is_within_half_a_step(shape: tuple[int, int], seed: int, scale: float) -> None:
    weight = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    rows, most = quantize_rows(weight, 8), np.abs(weight).max()
    steps = np.repeat(rows.scales.astype(np.float32), GROUP, axis=1)[:, : shape[1]]
    assert (np.abs(rows.dequantized() - weight) <= 0.5001 * steps + 1e-6 * most).all()
    # And steps are no larger than they have to be: scales in fp16 are off by a part in a thousand.
    assert steps.max() <= most / 127 * 1.002 + 2**-24


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 4)),
    seed=seeds,
    scale=scales,
    shift=st.sampled_from([0.0, 1.0, -1.0, 30.0]),
)
def test_4_bits_are_no_worse_than_16_levels_from_the_least_to_the_greatest_value(
    shape: tuple[int, int], seed: int, scale: float, shift: float
) -> None:
    groups = np.random.default_rng(seed).normal(shift * scale, scale, (*shape, GROUP)).astype(np.float32)
    low = groups.min(axis=2, keepdims=True)
    steps = (groups.max(axis=2, keepdims=True) - low) / 15
    by_range = np.abs(low + steps * np.rint((groups - low) / steps) - groups)
    weight = groups.reshape(shape[0], -1)
    found = np.abs(quantize_rows(weight, 4).dequantized() - weight)
    half_precision = 2**-11 * np.abs(weight).max() + 8 * 2**-24  # of minima, and of 15 scales
    assert np.sqrt(np.square(found).mean()) <= np.sqrt(np.square(by_range).mean()) + half_precision
    assert found.max() <= 1.5 * steps.max() + half_precision


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.3, -0.3, 1000.3, 1e-9])
def test_rows_of_one_value_come_back_but_for_fp16(bits: Bits, value: float) -> None:
    weight = np.full((3, 64), value, np.float32)
    assert np.abs(quantize_rows(weight, bits).dequantized() - weight).max() <= abs(value) / 1000 + 2**-25


@settings(max_examples=40)
@given(
    columns=st.integers(1, 100),
    parts=st.lists(st.tuples(st.integers(1, 20), forms), min_size=1, max_size=4),
    seed=seeds,
)
def test_rows_of_several_formats_are_joined_without_a_change(
    columns: int, parts: list[tuple[int, str]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    given_rows = [random_rows(random, (rows, columns), *FORMATS[form]) for rows, form in parts]
    for rows in given_rows:  # with an offset, not all of 8 bits fit into a common format
        np.clip(rows.values, -128 + rows.offset, 127, out=rows.values)
    joined = join_rows(given_rows)
    assert np.array_equal(joined.dequantized(), np.concatenate([rows.dequantized() for rows in given_rows]))
    assert np.array_equal(pack(joined).dequantized(), joined.dequantized())


def test_rows_of_one_format_stay_in_it() -> None:
    random = np.random.default_rng(0)
    first, second = (random_rows(random, (5, 40), 4, 8, False) for _ in range(2))
    joined = join_rows([first, second])
    assert (joined.bits, joined.offset, joined.minima) == (4, 8, None)
    assert join_rows([first]) is first
    with_minima = join_rows([first, random_rows(random, (5, 40), 4, 8, True)])
    assert (with_minima.bits, with_minima.offset) == (4, 8)


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_taken_in_any_order(form: str) -> None:
    rows = random_rows(np.random.default_rng(0), (9, 70), *FORMATS[form])
    order = np.array([8, 0, 3, 3, 7], np.int64)
    taken = rows.take(order)
    assert np.array_equal(taken.dequantized(), rows.dequantized()[order])
    assert_equal(
        replace(taken, values=taken.values[:1], scales=taken.scales[:1], minima=None),
        replace(rows.take(order[:1]), minima=None),
    )


def test_a_scale_for_a_row_is_one_for_all_its_groups() -> None:
    random = np.random.default_rng(0)
    values = random.integers(-127, 128, (5, 70)).astype(np.int8)
    scales = random.uniform(1e-3, 1e-2, 5).astype(np.float32)
    rows = with_row_scales(values, scales)
    expected = values * scales[:, None]
    assert np.abs(rows.dequantized() - expected).max() <= 2**-11 * np.abs(expected).max()
