"""The cache and the generator: whatever is reused, rewound or cut off, the tokens stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.api import Dtype
from model_runtime.decoding import CachedSequence, Sampler, generate
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.opening import open_torch
from tests.model_runtime.rounding import is_rounding

PROMPT = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]
STEPS = 8


@pytest.fixture(scope="module")
def decoder(checkpoint_folder: Path, dtype: Dtype) -> Decoder:
    return open_torch(checkpoint_folder, dtype)


def greedy(decoder: Decoder, cache: CachedSequence, tokens: list[int], max_tokens: int = STEPS) -> list[int]:
    steps = generate(decoder, cache, tokens, Sampler(), max_tokens=max_tokens, chunk=5)
    return [token for token in steps if token is not None]


def cold(decoder: Decoder, tokens: list[int], max_tokens: int = STEPS) -> list[int]:
    return greedy(decoder, decoder.new_cache(), tokens, max_tokens)


def alike(decoder: Decoder, prompt: list[int], one: list[int], other: list[int]) -> bool:
    """Whether two continuations are the same but for rounding, of which there is none in fp32."""
    return one == other or (len(one) == len(other) and is_rounding(decoder, prompt, one))


def test_prefill_pauses_after_each_chunk_but_the_last(decoder: Decoder) -> None:
    steps = list(generate(decoder, decoder.new_cache(), PROMPT, Sampler(), max_tokens=2, chunk=5))
    assert steps[:2] == [None, None]
    assert None not in steps[2:]
    assert len(steps) == 4


@pytest.mark.parametrize("shared", range(len(PROMPT) + 1))
def test_a_reused_prefix_gives_the_same_tokens_as_a_cold_start(decoder: Decoder, shared: int) -> None:
    cache = decoder.new_cache()
    greedy(decoder, cache, [*PROMPT[:shared], 7, 8, 9])
    assert cache.common_prefix(PROMPT) == shared
    assert alike(decoder, PROMPT, greedy(decoder, cache, PROMPT), cold(decoder, PROMPT))


def test_a_prompt_that_is_cached_whole_computes_its_last_token_again(decoder: Decoder) -> None:
    cache = decoder.new_cache()
    first = greedy(decoder, cache, PROMPT)
    assert cache.reuse(PROMPT) == len(PROMPT) - 1
    assert alike(decoder, PROMPT, greedy(decoder, cache, PROMPT), first)


@pytest.mark.parametrize("steps", range(7))
def test_closing_at_any_step_leaves_exactly_what_was_computed(decoder: Decoder, steps: int) -> None:
    cache = decoder.new_cache()
    generation = generate(decoder, cache, PROMPT, Sampler(), max_tokens=STEPS, chunk=5)
    for _ in range(steps):
        next(generation)
    generation.close()  # type: ignore[attr-defined]
    computed = PROMPT + cold(decoder, PROMPT)
    expected = (0, 5, 10, 12, 13, 14, 15)[steps]  # two pieces, the rest with the first token, then one by one
    assert cache.tokens == tuple(computed[:expected])
    assert alike(decoder, PROMPT, greedy(decoder, cache, PROMPT), cold(decoder, PROMPT))


def test_a_step_that_fails_leaves_no_trace(decoder: Decoder) -> None:
    cache = decoder.new_cache(capacity=16)
    greedy(decoder, cache, PROMPT, max_tokens=1)
    with pytest.raises(AssertionError):
        decoder.forward(list(range(5, 15)), cache)
    assert cache.tokens == tuple(PROMPT)
    again = greedy(decoder, cache, PROMPT, max_tokens=4)
    assert alike(decoder, PROMPT, again, cold(decoder, PROMPT, max_tokens=4))


def test_generation_ends_after_a_stop_token(decoder: Decoder) -> None:
    tokens = cold(decoder, PROMPT)
    stop = tokens[3]
    steps = generate(decoder, decoder.new_cache(), PROMPT, Sampler(), stop={stop}, max_tokens=STEPS, chunk=5)
    assert [token for token in steps if token is not None] == tokens[: tokens.index(stop) + 1]


def test_generation_ends_where_the_context_is_full(decoder: Decoder) -> None:
    tokens = greedy(decoder, decoder.new_cache(capacity=len(PROMPT) + 3), PROMPT)
    assert tokens == cold(decoder, PROMPT)[:4]  # the last token needs no place: nothing follows it


def test_a_prompt_that_fills_the_context_still_gives_one_token(decoder: Decoder) -> None:
    assert greedy(decoder, decoder.new_cache(capacity=len(PROMPT)), PROMPT) == cold(decoder, PROMPT)[:1]


@settings(max_examples=25)
@given(prompts=st.lists(st.lists(st.sampled_from([11, 12]), min_size=1, max_size=12), min_size=2, max_size=4))
def test_any_sequence_of_prompts_in_one_cache_gives_what_cold_starts_give(
    decoder: Decoder, prompts: list[list[int]]
) -> None:
    cache = decoder.new_cache()
    for prompt in prompts:
        warm = greedy(decoder, cache, prompt, max_tokens=3)
        assert alike(decoder, prompt, warm, cold(decoder, prompt, max_tokens=3))
