"""Which slot a prompt is computed in, and what of the others it takes along."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from model_runtime.api import Busy, OutOfMemory
from model_runtime.decoding import Cache, DecoderConfig
from model_runtime.engine.slots import HARDLY, LEAST_CAPACITY, Slots, capacity_and_number
from model_runtime.prompting.prompt import Layout, Prompt

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
    """Answer a request, and say how many tokens had to be computed for it, and in which cache."""
    choice = subject.best(session, prompts)
    with subject.taken(session, choice) as slot:
        assert slot.cache.tokens == tuple(choice.prompt.tokens[: choice.shared])
        slot.cache.extend(choice.prompt.tokens[choice.shared :])
    return choice.left, slot.cache


def held(subject: Slots) -> dict[int, str]:
    """Whose slots there are, by what they hold first."""
    return {slot.cache.tokens[0]: slot.session for slot in subject._slots}


def test_what_is_typed_on_is_computed_where_the_rest_is() -> None:
    subject = slots()
    left, first = compute(subject, "a", prompt(range(100)))
    assert left == 100
    assert compute(subject, "a", prompt(range(102))) == (2, first)
    assert compute(subject, "a", prompt(range(99))) == (1, first)


def test_of_a_prompt_that_is_there_the_last_token_is_computed_again() -> None:
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


def test_what_another_session_computed_is_copied_and_left_to_it() -> None:
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


def test_a_little_of_another_session_is_not_worth_copying() -> None:
    subject = slots()
    compute(subject, "a", prompt(range(200)))
    assert compute(subject, "b", prompt([*range(HARDLY), 9]))[0] == HARDLY + 1


def test_a_slot_that_is_in_use_is_copied_from_but_not_taken() -> None:
    subject = slots()
    _, first = compute(subject, "a", prompt(range(100)))
    choice = subject.best("a", [prompt(range(102))])
    with subject.taken("a", choice):
        left, second = compute(subject, "a", prompt(range(104)))
    assert left == 4
    assert second is not first


def test_where_all_slots_are_in_use_nobody_gets_one() -> None:
    subject = slots(2)
    with ExitStack() as stack:
        for session in "ab":
            stack.enter_context(subject.taken(session, subject.best(session, [prompt([1, 2])])))
        assert subject.busy == 2
        with pytest.raises(Busy, match="2 completions"), subject.taken("c", subject.best("c", [prompt([1])])):
            pass
    assert subject.busy == 0


def test_the_least_recently_used_slot_goes() -> None:
    subject = slots(3)
    for session, start in (("a", 0), ("b", 100), ("c", 200)):
        compute(subject, session, prompt(range(start, start + 50)))
    compute(subject, "a", prompt(range(51)))
    compute(subject, "d", prompt(range(300, 350)))
    assert held(subject) == {0: "a", 300: "d", 200: "c"}


def test_what_a_session_has_beside_another_slot_goes_first() -> None:
    subject = slots(3)
    compute(subject, "a", prompt(range(50)))
    for start in (100, 200):  # a cursor that jumps
        compute(subject, "b", prompt(range(start, start + 50)))
    compute(subject, "c", prompt(range(300, 350)))
    assert held(subject) == {0: "a", 300: "c", 200: "b"}


def test_a_long_context_is_not_given_up_for_a_small_one() -> None:
    subject = slots()
    _, long = compute(subject, "a", prompt(range(400)))
    left, short = compute(subject, "a", prompt([*range(20), *range(500, 600)]))
    assert (left, short is long) == (100, False)
    assert compute(subject, "a", prompt(range(401))) == (1, long)
    assert compute(subject, "a", prompt([*range(20), *range(500, 601)])) == (1, short)


def test_a_single_slot_is_everyones() -> None:
    subject = slots(1)
    _, cache = compute(subject, "a", prompt(range(400)))
    assert compute(subject, "b", prompt([*range(100), 7])) == (1, cache)
    assert compute(subject, "a", prompt(range(400))) == (300, cache)


def test_of_layouts_the_first_is_taken_unless_another_leaves_far_fewer_tokens() -> None:
    subject = slots()
    compute(subject, "a", prompt(range(200), "psm"))
    other = prompt(range(300, 300 + HARDLY))
    assert subject.best("a", [other, prompt(range(200), "psm")]).prompt.layout == "spm"
    longer = prompt(range(300, 300 + HARDLY + 2))
    assert subject.best("a", [longer, prompt(range(200), "psm")]).prompt.layout == "psm"


def test_without_memory_for_one_more_slot_there_are_fewer() -> None:
    room = [Cache(CONFIG)]

    def new_cache() -> Cache:
        if not room:
            raise MemoryError
        return room.pop()

    subject = Slots(new_cache, 4)
    _, cache = compute(subject, "a", prompt(range(50)))
    assert compute(subject, "b", prompt(range(100, 150))) == (50, cache)
    assert subject.limit == 1


def test_without_memory_for_a_single_slot_it_is_an_error() -> None:
    def new_cache() -> Cache:
        raise MemoryError

    subject = Slots(new_cache, 4)
    with pytest.raises(OutOfMemory), subject.taken("a", subject.best("a", [prompt([1])])):
        pass


def test_idle_slots_can_be_given_up() -> None:
    subject = slots(3)
    _, cache = compute(subject, "a", prompt(range(50)))
    compute(subject, "b", prompt(range(100, 150)))
    with subject.taken("a", subject.best("a", [prompt(range(51))])):
        subject.drop_idle()
        assert held(subject) == {0: "a"}
    assert compute(subject, "a", prompt(range(51))) == (1, cache)
    assert compute(subject, "b", prompt(range(100, 150)))[0] == 50


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10**9, (512, 8)), (2 * 512 * 32 * 4, (512, 2)), (0, (512, 1))],
)
def test_slots_are_as_many_as_fit_the_memory(free: int, expected: tuple[int, int]) -> None:
    # 32 bytes a token: 2 layers, keys and values, 1 head of 2 elements in fp32
    found = capacity_and_number(
        [torch.device("cpu")] * 2, CONFIG, torch.float32, lambda _: free, most_tokens=4096, most_slots=8
    )
    assert found == expected


def test_a_slot_is_no_larger_than_its_share_of_memory() -> None:
    config = replace(CONFIG, context_length=100_000)
    devices = [torch.device("cpu")] * 2

    def fit(free: int) -> tuple[int, int]:
        return capacity_and_number(
            devices, config, torch.float32, lambda _: free, most_tokens=4096, most_slots=8
        )

    assert fit(10**9) == (4096, 8)
    assert fit(4 * 32 * 2000) == (2000, 1)
    assert fit(0) == (LEAST_CAPACITY, 1)
