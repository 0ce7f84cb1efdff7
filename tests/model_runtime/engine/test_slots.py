"""Which slot a prompt is computed in, and what it copies from the others."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from model_runtime.api import Busy, OutOfMemory
from model_runtime.decoding import DecoderConfig
from model_runtime.engine.slots import MIN_CAPACITY, NEGLIGIBLE_TOKENS, Slots, capacity_and_count
from model_runtime.prompting.prompt import Layout, Prompt
from model_runtime.torch_decoder import Cache

CONFIG = DecoderConfig(
    vocab_size=8,
    context_length=512,
    width=4,
    layers=2,
    heads=2,
    kv_heads=1,
    head_dim=2,
    mlp_width=4,
    rotary=None,
    block="sequential",
    norm="layernorm",
    norm_eps=1e-5,
    mlp="plain",
    activation="relu",
    attention_scale=1.0,
    biases=frozenset(),
    tied_head=True,
)


def slots(limit: int = 4) -> Slots:
    return Slots(lambda: Cache(CONFIG), limit)


def prompt(tokens: range | list[int], layout: Layout = "spm") -> Prompt:
    return Prompt(list(tokens), layout)


def compute(subject: Slots, session: str, *prompts: Prompt) -> tuple[int, Cache]:
    """Answer a request; returns the number of tokens computed for it, and the cache."""
    choice = subject.choose(session, prompts)
    with subject.acquire(session, choice) as slot:
        assert slot.cache.tokens == tuple(choice.prompt.tokens[: choice.cached])
        slot.cache.extend(choice.prompt.tokens[choice.cached :])
    assert isinstance(slot.cache, Cache)
    return choice.uncached, slot.cache


def sessions(subject: Slots) -> dict[int, str]:
    """The session of each slot, by the first token in its cache."""
    return {slot.cache.tokens[0]: slot.session for slot in subject._slots}


def test_a_longer_prompt_is_computed_in_the_slot_of_its_prefix() -> None:
    subject = slots()
    left, first = compute(subject, "a", prompt(range(100)))
    assert left == 100
    assert compute(subject, "a", prompt(range(102))) == (2, first)
    assert compute(subject, "a", prompt(range(99))) == (1, first)


def test_the_last_token_of_a_cached_prompt_is_computed_again() -> None:
    subject = slots()
    compute(subject, "a", prompt(range(100)))
    assert compute(subject, "a", prompt(range(100)))[0] == 1
    assert compute(subject, "a", prompt([0]))[0] == 1


def test_each_session_has_its_slot() -> None:
    subject = slots()
    caches = [
        compute(subject, session, prompt(range(start, start + 50)))[1]
        for session, start in (("a", 0), ("b", 100))
    ]
    assert caches[0] is not caches[1]
    assert compute(subject, "a", prompt(range(52))) == (2, caches[0])
    assert compute(subject, "b", prompt(range(100, 152))) == (2, caches[1])


def test_what_another_session_computed_is_copied_and_stays_in_its_slot() -> None:
    subject = slots()
    _, theirs = compute(subject, "a", prompt(range(200)))
    left, mine = compute(subject, "b", prompt([*range(150), 7, 7]))
    assert (left, mine is theirs) == (2, False)
    assert compute(subject, "a", prompt(range(201))) == (1, theirs)


def test_keys_and_values_are_copied_along() -> None:
    subject = slots()
    _, theirs = compute(subject, "a", prompt(range(200)))
    for layer in theirs.layers():
        layer.normal_()
    _, mine = compute(subject, "b", prompt([*range(150), 7]))
    for ours, original in zip(mine.layers(), theirs.layers(), strict=True):
        assert torch.equal(ours[:, :150], original[:, :150])
        assert not torch.equal(ours[:, :200], original[:, :200])


def test_a_few_tokens_of_another_session_are_not_copied() -> None:
    subject = slots()
    compute(subject, "a", prompt(range(200)))
    assert compute(subject, "b", prompt([*range(NEGLIGIBLE_TOKENS), 9]))[0] == NEGLIGIBLE_TOKENS + 1


def test_a_slot_in_use_is_copied_from_but_not_acquired() -> None:
    subject = slots()
    _, first = compute(subject, "a", prompt(range(100)))
    choice = subject.choose("a", [prompt(range(102))])
    with subject.acquire("a", choice):
        left, second = compute(subject, "a", prompt(range(104)))
    assert left == 4
    assert second is not first


def test_where_all_slots_are_in_use_there_is_an_error() -> None:
    subject = slots(2)
    with ExitStack() as stack:
        for session in "ab":
            stack.enter_context(subject.acquire(session, subject.choose(session, [prompt([1, 2])])))
        assert subject.busy == 2
        with (
            pytest.raises(Busy, match="2 completions"),
            subject.acquire("c", subject.choose("c", [prompt([1])])),
        ):
            pass
    assert subject.busy == 0


def test_the_least_recently_used_slot_is_evicted() -> None:
    subject = slots(3)
    for session, start in (("a", 0), ("b", 100), ("c", 200)):
        compute(subject, session, prompt(range(start, start + 50)))
    compute(subject, "a", prompt(range(51)))
    compute(subject, "d", prompt(range(300, 350)))
    assert sessions(subject) == {0: "a", 300: "d", 200: "c"}


def test_a_session_with_several_slots_loses_one_first() -> None:
    subject = slots(3)
    compute(subject, "a", prompt(range(50)))
    for start in (100, 200):  # a cursor that jumps
        compute(subject, "b", prompt(range(start, start + 50)))
    compute(subject, "c", prompt(range(300, 350)))
    assert sessions(subject) == {0: "a", 300: "c", 200: "b"}


def test_a_long_context_is_not_overwritten_by_a_short_one() -> None:
    subject = slots()
    _, long = compute(subject, "a", prompt(range(400)))
    left, short = compute(subject, "a", prompt([*range(20), *range(500, 600)]))
    assert (left, short is long) == (100, False)
    assert compute(subject, "a", prompt(range(401))) == (1, long)
    assert compute(subject, "a", prompt([*range(20), *range(500, 601)])) == (1, short)


def test_sessions_share_a_single_slot() -> None:
    subject = slots(1)
    _, cache = compute(subject, "a", prompt(range(400)))
    assert compute(subject, "b", prompt([*range(100), 7])) == (1, cache)
    assert compute(subject, "a", prompt(range(400))) == (300, cache)


def test_the_first_layout_is_chosen_unless_another_has_far_fewer_uncached_tokens() -> None:
    subject = slots()
    compute(subject, "a", prompt(range(200), "psm"))
    other = prompt(range(300, 300 + NEGLIGIBLE_TOKENS))
    assert subject.choose("a", [other, prompt(range(200), "psm")]).prompt.layout == "spm"
    longer = prompt(range(300, 300 + NEGLIGIBLE_TOKENS + 2))
    assert subject.choose("a", [longer, prompt(range(200), "psm")]).prompt.layout == "psm"


def test_without_memory_for_another_slot_the_limit_is_lowered() -> None:
    room = [Cache(CONFIG)]

    def new_cache() -> Cache:
        if not room:
            raise MemoryError
        return room.pop()

    subject = Slots(new_cache, 4)
    _, cache = compute(subject, "a", prompt(range(50)))
    assert compute(subject, "b", prompt(range(100, 150))) == (50, cache)
    assert subject.limit == 1


def test_without_memory_for_a_single_slot_there_is_an_error() -> None:
    def new_cache() -> Cache:
        raise MemoryError

    subject = Slots(new_cache, 4)
    with pytest.raises(OutOfMemory), subject.acquire("a", subject.choose("a", [prompt([1])])):
        pass


def test_idle_slots_can_be_evicted() -> None:
    subject = slots(3)
    _, cache = compute(subject, "a", prompt(range(50)))
    compute(subject, "b", prompt(range(100, 150)))
    with subject.acquire("a", subject.choose("a", [prompt(range(51))])):
        subject.evict_idle()
        assert sessions(subject) == {0: "a"}
    assert compute(subject, "a", prompt(range(51))) == (1, cache)
    assert compute(subject, "b", prompt(range(100, 150)))[0] == 50


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10**9, (512, 8)), (2 * 512 * 32 * 4, (512, 2)), (0, (512, 1))],
)
def test_slots_are_as_many_as_fit_the_memory(free: int, expected: tuple[int, int]) -> None:
    # 32 bytes a token: 2 layers, keys and values, 1 head of 2 elements in fp32
    found = capacity_and_count(["cpu"] * 2, CONFIG, 4, lambda _: free, max_tokens=4096, max_slots=8)
    assert found == expected


def test_a_slot_is_no_larger_than_its_share_of_memory() -> None:
    config = replace(CONFIG, context_length=100_000)
    devices = ["cpu"] * 2

    def fit(free: int) -> tuple[int, int]:
        return capacity_and_count(devices, config, 4, lambda _: free, max_tokens=4096, max_slots=8)

    assert fit(10**9) == (4096, 8)
    assert fit(4 * 32 * 2000) == (2000, 1)
    assert fit(0) == (MIN_CAPACITY, 1)
