from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from model_runtime.decoding import Sampler

LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.3, 0.15], np.float32))


def drawn(count: int = 400, **options: float | int | None) -> Counter[int]:
    sampler = Sampler(**{"temperature": 1.0, "seed": 0, **options})  # type: ignore[arg-type]
    return Counter(sampler(LOGITS) for _ in range(count))


def test_temperature_0_takes_the_likeliest_token() -> None:
    assert set(drawn(temperature=0)) == {1}


@pytest.mark.parametrize("temperature", [1e-300, 1e-10, 1e-4])
def test_a_temperature_near_0_takes_it_too(temperature: float) -> None:
    assert set(drawn(temperature=temperature)) == {1}


def test_draws_follow_the_probabilities() -> None:
    counts = drawn(4000)
    for token, expected in enumerate(np.exp(LOGITS).tolist()):
        assert math.isclose(counts[token] / 4000, expected, abs_tol=0.03)


def test_a_higher_temperature_evens_the_probabilities_out() -> None:
    counts = drawn(4000, temperature=100.0)
    assert all(math.isclose(counts[token] / 4000, 0.2, abs_tol=0.03) for token in range(5))


@pytest.mark.parametrize(
    ("top_k", "expected"), [(1, {1}), (2, {1, 3}), (4, {0, 1, 3, 4}), (9, {0, 1, 2, 3, 4})]
)
def test_top_k_leaves_the_k_likeliest(top_k: int, expected: set[int]) -> None:
    assert set(drawn(top_k=top_k)) == expected


@pytest.mark.parametrize(
    ("top_p", "expected"), [(0.01, {1}), (0.39, {1}), (0.5, {1, 3}), (0.8, {1, 3, 4}), (1.0, {0, 1, 2, 3, 4})]
)
def test_top_p_leaves_the_fewest_that_have_the_probability(top_p: float, expected: set[int]) -> None:
    assert set(drawn(top_p=top_p)) == expected


def test_top_p_counts_what_top_k_leaves() -> None:
    assert set(drawn(top_k=2, top_p=0.5)) == {1}  # 0.4 / 0.7 of the two


def test_top_k_leaves_no_more_than_k_of_equals() -> None:
    sampler = Sampler(temperature=1.0, top_k=2, seed=0)
    assert len({sampler(np.zeros(5, np.float32)) for _ in range(100)}) == 2


@pytest.mark.parametrize("seed", [0, 1, -1, 2**80])
def test_a_seed_draws_the_same_tokens_again(seed: int) -> None:
    one, two = (Sampler(temperature=1.0, seed=seed) for _ in range(2))
    assert [one(LOGITS) for _ in range(50)] == [two(LOGITS) for _ in range(50)]


def test_without_a_seed_draws_differ() -> None:
    one, two = (Sampler(temperature=1.0) for _ in range(2))
    assert [one(LOGITS) for _ in range(100)] != [two(LOGITS) for _ in range(100)]


def test_a_token_of_no_probability_is_never_drawn() -> None:
    logits = np.array([0, -np.inf, 0], np.float32)
    sampler = Sampler(temperature=1.0, seed=0)
    assert {sampler(logits) for _ in range(100)} == {0, 2}


def test_logits_that_are_no_numbers_are_refused() -> None:
    logits = np.array([0, np.nan, 0], np.float32)
    with pytest.raises(ValueError, match="NaN"):
        Sampler(temperature=1.0)(logits)
