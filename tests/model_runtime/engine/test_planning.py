"""How much context a request gets, by what is cached and by the time left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_runtime.api import CompletionRequest
from model_runtime.engine.planning import FIRST_LINE_TOKENS, Plan, Planner
from model_runtime.engine.slots import Choice, Slots
from model_runtime.hardware.latency_model import LatencyModel
from model_runtime.prompting.prompt import Prompt
from tests.model_runtime.engine.test_slots import slots

MILLISECOND = 0.001
"""Duration of each row of a pass in these tests: 2048 tokens take 2 seconds."""

FIRST_LINE_SECONDS = FIRST_LINE_TOKENS * MILLISECOND
BUDGET, ANCHOR = 400, 32
LENGTH = BUDGET - ANCHOR


def latencies() -> LatencyModel:
    found = LatencyModel()
    found.calibrate(lambda rows, start: rows * MILLISECOND, 2048)
    return found


def lay_out(request: CompletionRequest, budget: int) -> Iterator[Prompt]:
    """The budget, and the end of the prefix from an anchored place on; a character is a token."""
    over = max(0, len(request.prefix) + 1 - budget)
    start = -(-over // ANCHOR) * ANCHOR
    yield Prompt([budget, *map(ord, request.prefix[start:])], "spm")


def request(length: int) -> CompletionRequest:
    """Text whose characters are all different."""
    return CompletionRequest(prefix="".join(map(chr, range(1000, 1000 + length))), session="a")


def plan(subject: Slots, seconds: float | None, length: int = LENGTH) -> Plan:
    return Planner(lay_out, subject, latencies()).plan(request(length), BUDGET, seconds)


def budget(made: Plan) -> int:
    return made.choice.prompt.tokens[0]


def compute(subject: Slots, made: Plan) -> None:
    with subject.acquire("a", made.choice) as slot:
        slot.cache.extend(made.choice.prompt.tokens[made.choice.cached :])


def test_without_a_deadline_a_request_gets_all_context() -> None:
    assert budget(plan(slots(), None)) == BUDGET


@pytest.mark.parametrize(
    ("milliseconds", "size"),
    [(500, BUDGET), (300, 256), (200, 128), (50, 128), (-10, 128)],
    ids=["all fits", "half", "minimum", "nothing fits", "too late"],
)
def test_the_context_leaves_time_for_a_first_line(milliseconds: int, size: int) -> None:
    made = plan(slots(), milliseconds * MILLISECOND)
    assert budget(made) == size
    assert (
        milliseconds <= 50
        or made.choice.uncached * MILLISECOND + FIRST_LINE_SECONDS <= milliseconds * MILLISECOND
    )


def test_cached_tokens_take_no_time() -> None:
    subject = slots()
    compute(subject, plan(subject, None))
    made = plan(subject, 40 * MILLISECOND, LENGTH + 10)
    assert (budget(made), made.choice.uncached) == (BUDGET, 10)


def test_a_small_context_is_reused_until_the_full_one_is_computed() -> None:
    subject = slots()
    compute(subject, plan(subject, 300 * MILLISECOND))
    again = plan(subject, 50 * MILLISECOND, LENGTH + 5)
    assert (budget(again), again.choice.uncached) == (256, 5)
    compute(subject, again)
    compute(subject, plan(subject, None, LENGTH + 5))  # in the background
    full = plan(subject, 50 * MILLISECOND, LENGTH + 6)
    assert (budget(full), full.choice.uncached) == (BUDGET, 1)


def test_without_a_deadline_a_long_context_is_not_waited_for_if_a_smaller_one_was_begun() -> None:
    slow = LatencyModel()
    slow.calibrate(lambda rows, start: 3 * rows * MILLISECOND, 2048)
    subject = slots()
    planner = Planner(lay_out, subject, slow)
    assert budget(planner.plan(request(LENGTH), BUDGET, None)) == BUDGET
    begun = planner.plan(request(LENGTH), BUDGET, 500 * MILLISECOND)
    with subject.acquire("a", begun.choice) as slot:
        slot.cache.extend(begun.choice.prompt.tokens[:20])
    made = planner.plan(request(LENGTH + 5), BUDGET, None)
    assert (budget(made), made.full.tokens[0]) == (128, BUDGET)
    compute(subject, Plan(Choice(made.full), made.full))  # in the background
    assert budget(planner.plan(request(LENGTH + 5), BUDGET, None)) == BUDGET


def test_the_full_prompt_has_all_context_even_where_the_chosen_one_has_less() -> None:
    made = plan(slots(), 200 * MILLISECOND)
    assert (budget(made), made.full.tokens[0]) == (128, BUDGET)


def test_a_single_slot_is_kept_for_the_full_context() -> None:
    assert budget(plan(slots(1), 200 * MILLISECOND)) == BUDGET


def test_a_context_that_is_small_already_is_not_made_larger() -> None:
    made = Planner(lay_out, slots(), latencies()).plan(request(100), 100, 0.0)
    assert len(made.choice.prompt.tokens) <= 100


def test_concurrent_completions_share_the_time() -> None:
    subject = slots()
    with subject.acquire("b", subject.choose("b", [Prompt([1, 2], "spm")])):
        made = plan(subject, 300 * MILLISECOND)
    assert budget(made) == 128
