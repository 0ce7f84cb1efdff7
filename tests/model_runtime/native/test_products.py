"""The kernels' products: integers are added up exactly, and a row's result depends on that row alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_runtime.native.library import GROUP
from model_runtime.native.matrices import LEVELS, Floats, GroupedRows, quantized_activations
from tests.model_runtime.native.support import (
    FORMATS,
    KERNELS,
    limits,
    make_rows,
    needs_native,
    product,
    random_rows,
    same_bits,
)

pytestmark = [
    needs_native,
    pytest.mark.parametrize("kernels", KERNELS),
    pytest.mark.parametrize("form", FORMATS),
]

Ints = NDArray[np.int64]

shapes = st.tuples(st.integers(1, 20), st.integers(1, 70), st.integers(1, 300))
"""Tokens, rows, columns."""


def whole_activations(random: np.random.Generator, tokens: int, columns: int, extreme: bool) -> Ints:
    """Integers that the kernels keep as they are: each group's largest one gives it a scale of 1."""
    x = random.integers(-LEVELS, LEVELS, (tokens, columns), endpoint=True)
    first = x[:, ::GROUP]
    first[:] = random.choice([-LEVELS, LEVELS], first.shape)
    return random.choice([-LEVELS, LEVELS], x.shape) if extreme else x


def exact(rows: GroupedRows, x: Ints) -> Ints:
    """The product of integers with rows whose scales are 1."""
    weights = rows.values.astype(np.int64) - rows.offset
    if rows.minima is not None:
        weights += np.repeat(rows.minima.astype(np.int64), GROUP, axis=1)[:, : weights.shape[1]]
    product: Ints = x @ weights.T
    return product


def whole_rows(
    random: np.random.Generator, shape: tuple[int, int], form: str, choices: Ints | None
) -> GroupedRows:
    """Rows of integers, of all that the format has or of `choices`; minima are small integers."""
    bits, offset, with_minima = FORMATS[form]
    low, high = limits(bits)
    values = random.integers(low, high, shape, endpoint=True)
    if choices is not None:
        values = random.choice(np.clip(choices, low, high), shape)
    groups = (shape[0], -(-shape[1] // GROUP))
    return make_rows(values, bits, offset, random.integers(-2, 3, groups) if with_minima else None)


@settings(max_examples=12)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_the_largest_weights_and_activations_are_added_up_exactly(
    kernels: str, form: str, shape: tuple[int, int, int], seed: int
) -> None:
    random, (tokens, *sizes) = np.random.default_rng(seed), shape
    rows = whole_rows(random, (sizes[0], sizes[1]), form, np.array([-128, -127, 127, 15, 0]))
    x = whole_activations(random, tokens, sizes[1], extreme=True)
    expected = exact(rows, x)
    assert np.array_equal(expected, expected.astype(np.float32)), "fp32 holds every sum"
    assert np.array_equal(product(rows, x.astype(np.float32), kernels), expected)


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 70), st.integers(1, 64)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_bit_of_an_activation_counts(
    kernels: str, form: str, shape: tuple[int, int, int], seed: int
) -> None:
    random, (tokens, *sizes) = np.random.default_rng(seed), shape
    offset = FORMATS[form][1]
    rows = whole_rows(random, (sizes[0], sizes[1]), form, offset + np.arange(-3, 4))
    x = whole_activations(random, tokens, sizes[1], extreme=False)
    expected = exact(rows, x)
    assert np.abs(expected).max() < 2**24, "fp32 holds every sum"
    assert np.array_equal(product(rows, x.astype(np.float32), kernels), expected)


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 70), st.integers(1, GROUP)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_sum_of_a_group_is_rounded_once(
    kernels: str, form: str, shape: tuple[int, int, int], seed: int
) -> None:
    random, (tokens, *sizes) = np.random.default_rng(seed), shape
    rows = whole_rows(random, (sizes[0], sizes[1]), form, None)
    if rows.minima is not None:
        rows.minima[:] = 0
    x = whole_activations(random, tokens, sizes[1], extreme=False)
    expected = exact(rows, x).astype(np.float32)
    assert np.array_equal(product(rows, x.astype(np.float32), kernels), expected)


def by_value(groups: NDArray[np.floating[Any]], columns: int) -> NDArray[np.float64]:
    return np.repeat(groups.astype(np.float64), GROUP, axis=1)[:, :columns]


def restored(x: Floats) -> NDArray[np.float64]:
    """Activations after the kernels have rounded them."""
    values, scales = quantized_activations(x)
    return (values * scales.astype(np.float64)[..., None]).reshape(len(x), -1)[:, : x.shape[1]]


@settings(max_examples=20)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0, 1, 4]))
def test_products_are_those_of_the_restored_weights_and_the_rounded_activations(
    kernels: str, form: str, shape: tuple[int, int, int], seed: int, spread: float
) -> None:
    random, (tokens, *sizes) = np.random.default_rng(seed), shape
    rows = random_rows(random, (sizes[0], sizes[1]), *FORMATS[form])
    x = random.normal(size=(tokens, sizes[1])) * 10 ** random.normal(scale=spread, size=(tokens, sizes[1]))
    rounded = restored(x.astype(np.float32))
    scales = by_value(rows.scales, sizes[1])
    minima = 0 * scales if rows.minima is None else by_value(rows.minima, sizes[1])
    weights = scales * (rows.values.astype(np.float64) - rows.offset)
    found = product(rows, x.astype(np.float32), kernels)
    # Relative to what is added up: the sum itself may be next to nothing.
    added = np.abs(rounded) @ (np.abs(weights) + np.abs(minima)).T
    assert (np.abs(found - rounded @ (weights + minima).T) <= 2e-6 * added).all()


def test_the_product_with_a_large_matrix_is_off_by_rounding_alone(kernels: str, form: str) -> None:
    random = np.random.default_rng(1)
    rows = random_rows(random, (203, 1537), *FORMATS[form])
    x = random.normal(size=(13, 1537)).astype(np.float32)
    expected = restored(x) @ rows.dequantized().T.astype(np.float64)
    error = np.linalg.norm(product(rows, x, kernels) - expected) / np.linalg.norm(expected)
    assert error < 1e-5


@settings(max_examples=12)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_a_row_gives_the_same_in_any_company(
    kernels: str, form: str, shape: tuple[int, int, int], seed: int
) -> None:
    random, (tokens, *sizes) = np.random.default_rng(seed), shape
    rows = random_rows(random, (sizes[0], sizes[1]), *FORMATS[form])
    x = random.normal(size=(tokens, sizes[1])).astype(np.float32)
    together = product(rows, x, kernels)
    cut = int(random.integers(0, tokens))
    for first, last in ((0, cut), (cut, tokens), (cut, cut + 1)):
        if first < last:
            assert same_bits(product(rows, x[first:last], kernels), together[first:last])


@pytest.mark.parametrize("columns", [7, 64, 150])
def test_numbers_that_are_none_spoil_their_own_row_alone(kernels: str, form: str, columns: int) -> None:
    random = np.random.default_rng(2)
    rows = random_rows(random, (37, columns), *FORMATS[form])
    x = random.normal(size=(14, columns)).astype(np.float32)
    clean = product(rows, x, kernels)
    spoilt = {1: np.nan, 4: np.inf, 5: -np.inf, 8: 1e37, 10: 1e-42, 13: -np.nan}
    for row, value in spoilt.items():
        x[row, int(random.integers(columns))] = value
    x[11] = 1e-42
    found = product(rows, x, kernels)
    for row in set(range(len(x))) - {*spoilt, 11}:
        assert same_bits(found[row], clean[row])
    assert np.isfinite(found[8]).all()
    assert (np.abs(found[11]) < 1e-30).all(), "next to nothing"


def test_zeros_give_zeros(kernels: str, form: str) -> None:
    rows = random_rows(np.random.default_rng(3), (37, 100), *FORMATS[form])
    assert not product(rows, np.zeros((6, 100), np.float32), kernels).any()
