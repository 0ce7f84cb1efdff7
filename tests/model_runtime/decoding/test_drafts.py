"""Speculative decoding: whatever is drafted, tokens and cache are those without drafts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model_runtime.api import Dtype
from model_runtime.decoding import (
    AcceptanceStats,
    CachedSequence,
    Logits,
    NgramDrafter,
    Sampler,
    TensorLike,
    generate,
)
from model_runtime.decoding.speculate import MAX_DRAFT_ROWS, RETRY_INTERVAL
from model_runtime.models import resolve
from model_runtime.tokenization.tokenizer import Tokenizer
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.factory import write_checkpoint
from tests.model_runtime.opening import open_torch
from tests.model_runtime.rounding import is_rounding, rounding_error
from tests.model_runtime.torch_decoder.steps import cpu_cost

PROMPT = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]
STEPS = 24
Which = Literal["last", "all"]

LIVELY = {"gpt_bigcode": 9, "gptj": 15, "codegen": 2, "llama": 17, "qwen2": 24, "starcoder2": 18}
"""Seeds of random models whose greedy tokens do not soon repeat themselves."""

DECIDED = 1564
"""The seed of a random GPT-J that writes the same after `PROMPT` in every precision: its likeliest tokens are
so far ahead that rounding changes none of them."""


class Guesses:
    """A drafter that says what it is told to: by the number of tokens so far, or for every draft in turn."""

    def __init__(self, guess: Callable[[Sequence[int], int], Sequence[int]]) -> None:
        self._guess = guess
        self.outcomes: list[tuple[int, int]] = []

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        assert limit > 0
        return self._guess(tokens, limit)

    def record(self, proposed: int, accepted: int) -> None:
        self.outcomes.append((proposed, accepted))


def foresight(made: Sequence[int], wrong_every: int = 1000) -> Guesses:
    """Knows what will follow the prompt, but says something else at every so manieth token."""
    known = [(token + (index % wrong_every == 0)) % 384 for index, token in enumerate((*PROMPT, *made))]
    return Guesses(lambda so_far, limit: known[len(so_far) : len(so_far) + limit])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models"), family="gptj", seed=DECIDED)


@pytest.fixture(scope="module")
def decoder(folder: Path, dtype: Dtype) -> Decoder:
    return open_torch(folder, dtype)


@pytest.fixture(scope="module")
def lively_decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """In fp32, for tests that rounding, or what the model repeats, would disturb."""
    folder = tmp_path_factory.mktemp("models")
    return open_torch(write_checkpoint(folder, family="gptj", seed=LIVELY["gptj"]), "fp32")


@pytest.fixture(scope="module")
def plain(decoder: Decoder) -> list[int]:
    """What follows the prompt."""
    return run(decoder, decoder.new_cache())


def run(
    decoder: Decoder | Counting | Chain,
    cache: CachedSequence,
    tokens: Sequence[int] = PROMPT,
    sample: Callable[[Logits], int] | None = None,
    *,
    drafter: Guesses | NgramDrafter | None = None,
    stop: Collection[int] = (),
    max_tokens: int = STEPS,
) -> list[int]:
    steps = generate(
        decoder, cache, tokens, sample or Sampler(), stop=stop, max_tokens=max_tokens, drafter=drafter
    )
    return [token for token in steps if token is not None]


class Counting:
    """A decoder that keeps the widths of its passes."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.widths: list[int] = []

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Which = "last"
    ) -> Logits | TensorLike:
        self.widths.append(len(tokens))
        return self._decoder.forward(tokens, cache, logits)


def widths(decoder: Decoder, drafter: Guesses | NgramDrafter, max_tokens: int = STEPS) -> list[int]:
    """Of the passes after the prompt was computed but for its last token."""
    counting, cache = Counting(decoder), decoder.new_cache()
    decoder.forward(PROMPT, cache)
    run(counting, cache, drafter=drafter, max_tokens=max_tokens)
    return counting.widths


# What comes out


@pytest.mark.parametrize("family", LIVELY)
def test_greedy_tokens_are_the_same_in_every_family(family: str, dtype: Dtype, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, family=family, seed=LIVELY[family])
    decoder = open_torch(tmp_path, dtype)
    plain = run(decoder, decoder.new_cache(), max_tokens=60)
    drafters: list[Guesses | NgramDrafter] = [foresight(plain, every) for every in (1, 2, 3, 5)]
    for drafter in [*drafters, NgramDrafter(PROMPT, cpu_cost, others=[plain[:30], plain[20:]])]:
        drafted = run(decoder, decoder.new_cache(), drafter=drafter, max_tokens=60)
        assert drafted == plain or is_rounding(decoder, PROMPT, drafted)


def test_greedy_tokens_are_the_same_on_real_code(dtype: Dtype) -> None:
    folder = resolve(None)
    tokenizer, decoder = Tokenizer(folder), open_torch(folder, dtype)
    code = tokenizer.encode(Path(__file__).read_text(encoding="utf-8"))
    stats = AcceptanceStats()
    for end in range(200, 1400, 300):
        prompt = code[end - 200 : end]
        plain = run(decoder, decoder.new_cache(), prompt, max_tokens=32)
        drafter = NgramDrafter(
            prompt, cpu_cost, previous=code[end : end + 32], others=[code[:end]], stats=stats
        )
        drafted = run(decoder, decoder.new_cache(), prompt, drafter=drafter, max_tokens=32)
        assert drafted == plain or is_rounding(decoder, prompt, drafted)


@settings(max_examples=60)
@given(drafts=st.lists(st.lists(st.integers(0, 8), max_size=10), max_size=12), capacity=st.integers(12, 40))
def test_no_draft_changes_anything(
    decoder: Decoder, plain: list[int], drafts: list[list[int]], capacity: int
) -> None:
    """A number in a draft is how far off it is, so that 0 is right."""
    left = iter(drafts)

    def guess(tokens: Sequence[int], limit: int) -> list[int]:
        known = [*PROMPT, *plain, *plain]
        return [
            (known[len(tokens) + index] + off) % 384 for index, off in enumerate(next(left, [])) if off < 5
        ]

    capacity = max(capacity, len(PROMPT))
    one, other = decoder.new_cache(capacity), decoder.new_cache(capacity)
    assert run(decoder, one, drafter=Guesses(guess)) == run(decoder, other)
    assert one.tokens == other.tokens


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_a_seed_draws_the_same_tokens(lively_decoder: Decoder, temperature: float) -> None:
    def sampler() -> Sampler:
        return Sampler(temperature=temperature, top_k=40, top_p=0.95, seed=7)

    sampled = run(lively_decoder, lively_decoder.new_cache(), sample=sampler())
    for every in (1, 2, 5):
        drafter = foresight(sampled, every)
        assert run(lively_decoder, lively_decoder.new_cache(), sample=sampler(), drafter=drafter) == sampled


class Chain:
    """A decoder of four tokens, where the next one depends on the last alone."""

    LOGITS = torch.log(
        torch.tensor(
            [[0.15, 0.2, 0.3, 0.35], [0.4, 0.2, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25], [0.2, 0.3, 0.2, 0.3]]
        )
    )

    def forward(self, tokens: Sequence[int], cache: CachedSequence, logits: Which = "last") -> Tensor:
        cache.extend(tokens)
        return self.LOGITS[list(tokens)] if logits == "all" else self.LOGITS[tokens[-1]]


@pytest.mark.parametrize("draft", [[3, 3], [0, 1], [1]])
def test_sampled_tokens_have_the_distribution_of_the_model(lively_decoder: Decoder, draft: list[int]) -> None:
    """Pearson's chi-square over all rows of three tokens: 63 degrees of freedom, p = 0.001 at 103.4."""
    runs, sampler, chain = 2000, Sampler(temperature=1.0, seed=0), Chain()
    counts: Counter[tuple[int, ...]] = Counter()
    for _ in range(runs):
        drafter = Guesses(lambda tokens, limit: draft)
        tokens = run(chain, lively_decoder.new_cache(8), [0], sampler, drafter=drafter, max_tokens=3)
        counts[tuple(tokens)] += 1
    chances = Chain.LOGITS.exp()
    expected = {
        row: runs * math.prod(float(chances[a, b]) for a, b in zip((0, *row), row, strict=False))
        for row in product(range(4), repeat=3)
    }
    assert sum((counts[row] - count) ** 2 / count for row, count in expected.items()) < 103.4


# What is computed for it


def test_an_accepted_draft_takes_one_pass(decoder: Decoder, plain: list[int]) -> None:
    assert widths(decoder, foresight(plain)) == [8, 8, 8]


def test_the_pass_that_ends_the_prompt_carries_a_draft(decoder: Decoder, plain: list[int]) -> None:
    counting, cache = Counting(decoder), decoder.new_cache()
    decoder.forward(PROMPT[:-3], cache)
    drafter = foresight(plain)
    assert run(counting, cache, drafter=drafter, max_tokens=6) == plain[:6]
    assert counting.widths == [MAX_DRAFT_ROWS]
    assert drafter.outcomes == [(5, 5)]


@pytest.mark.parametrize("max_tokens", range(1, 20))
def test_no_more_than_max_tokens_are_computed(decoder: Decoder, plain: list[int], max_tokens: int) -> None:
    cache = decoder.new_cache()
    tokens = run(decoder, cache, drafter=foresight(plain), max_tokens=max_tokens)
    assert tokens == plain[:max_tokens]
    assert cache.tokens == (*PROMPT, *tokens[:-1])


@pytest.mark.parametrize("room", range(20))
def test_a_draft_stays_within_the_capacity(decoder: Decoder, plain: list[int], room: int) -> None:
    cache = decoder.new_cache(len(PROMPT) + room)
    assert run(decoder, cache, drafter=foresight(plain)) == plain[: room + 1]
    assert cache.length == cache.capacity


@pytest.mark.parametrize("place", range(12))
def test_a_stop_token_inside_a_draft_ends_it(decoder: Decoder, plain: list[int], place: int) -> None:
    end = plain.index(plain[place])
    cache = decoder.new_cache()
    tokens = run(decoder, cache, drafter=foresight(plain), stop={plain[place]})
    assert tokens == plain[: end + 1]
    assert cache.tokens == (*PROMPT, *tokens[:-1])


@pytest.mark.parametrize("every", [2, 3, 100])
@pytest.mark.parametrize("steps", range(STEPS))
def test_closing_at_any_step_leaves_what_was_computed(
    decoder: Decoder, plain: list[int], steps: int, every: int
) -> None:
    cache = decoder.new_cache()
    drafter = foresight(plain, every)
    generation = generate(decoder, cache, PROMPT, Sampler(), max_tokens=STEPS, chunk=5, drafter=drafter)
    for _ in range(steps):
        next(generation)
    generation.close()  # type: ignore[attr-defined]
    assert cache.tokens == (*PROMPT, *plain)[: cache.length]
    assert cache.length >= (0, 5, 10)[min(steps, 2)] + max(0, steps - 2)
    cold = decoder.new_cache()
    expected = decoder.forward([*cache.tokens, 5], cold)
    near = max(1e-4, float(rounding_error(expected)))
    torch.testing.assert_close(decoder.forward([5], cache), expected, atol=near, rtol=0)


def test_a_pass_that_is_refused_leaves_what_was_computed(decoder: Decoder, plain: list[int]) -> None:
    class Refusal(Exception):
        pass

    class Limited(Counting):
        def forward(
            self, tokens: Sequence[int], cache: CachedSequence, logits: Which = "last"
        ) -> Logits | TensorLike:
            if len(self.widths) == 2:
                raise Refusal
            return super().forward(tokens, cache, logits)

    cache, made = decoder.new_cache(), []
    with pytest.raises(Refusal):  # noqa: PT012 - what came before the refusal counts
        for token in generate(
            Limited(decoder), cache, PROMPT, Sampler(), max_tokens=STEPS, drafter=foresight(plain)
        ):
            made.append(token)  # noqa: PERF402
    assert made == plain[:9]
    assert cache.tokens == (*PROMPT, *plain[:8])


def test_the_size_is_asked_for_before_each_chunk(decoder: Decoder, plain: list[int]) -> None:
    sizes: Iterator[int] = iter([2, 3, 4, 100])
    cache = decoder.new_cache()
    steps = generate(decoder, cache, PROMPT, Sampler(), max_tokens=1, chunk=lambda: next(sizes))
    assert [cache.length for _ in steps] == [2, 5, 9, 12]


def test_expensive_drafts_that_are_never_accepted_are_soon_given_up(lively_decoder: Decoder) -> None:
    plain = run(lively_decoder, lively_decoder.new_cache())
    wrong = next(token for token in range(384) if token not in plain)
    # Every pair of tokens that will come is followed by something else.
    pairs = [token for pair in pairwise([*PROMPT, *plain]) for token in (*pair, wrong)]
    stats, passes = AcceptanceStats(), []
    for _ in range(20):
        drafter = NgramDrafter(PROMPT, others=[pairs], stats=stats, cost=lambda width: 0.8 + width / 5)
        passes.append(sum(widths(lively_decoder, drafter)) - STEPS)  # what was drafted in vain
    assert passes[0] > STEPS / RETRY_INTERVAL + 3
    assert sum(passes[-8:]) <= 8 * STEPS / RETRY_INTERVAL + 1
