"""How much context a request gets, by what is computed already and by the time there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_runtime.api import CompletionRequest
from model_runtime.engine.planning import FIRST_LINE, Plan, Planner
from model_runtime.engine.slots import Slots
from model_runtime.hardware.latency_model import LatencyModel
from model_runtime.prompting.prompt import Prompt
from tests.model_runtime.engine.test_slots import slots

MILLISECOND = 0.001
"""What each row of a pass takes on the machine of these tests: 2048 tokens take 2 seconds."""

FIRST_LINE_SECONDS = FIRST_LINE * MILLISECOND
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
    with subject.taken("a", made.choice) as slot:
        slot.cache.extend(made.choice.prompt.tokens[made.choice.shared :])


def test_without_a_deadline_all_context_is_taken() -> None:
    assert budget(plan(slots(), None)) == BUDGET


@pytest.mark.parametrize(
    ("milliseconds", "size"),
    [(500, BUDGET), (300, 256), (200, 128), (50, 128), (-10, 128)],
    ids=["all fits", "half", "the least", "nothing fits", "it is too late"],
)
def test_the_context_fits_the_time_beside_a_first_line(milliseconds: int, size: int) -> None:
    made = plan(slots(), milliseconds * MILLISECOND)
    assert budget(made) == size
    assert (
        milliseconds <= 50
        or made.choice.left * MILLISECOND + FIRST_LINE_SECONDS <= milliseconds * MILLISECOND
    )


def test_what_is_computed_already_takes_no_time() -> None:
    subject = slots()
    compute(subject, plan(subject, None))
    made = plan(subject, 40 * MILLISECOND, LENGTH + 10)
    assert (budget(made), made.choice.left) == (BUDGET, 10)


def test_a_small_context_is_found_again_until_the_whole_one_is_computed() -> None:
    subject = slots()
    compute(subject, plan(subject, 300 * MILLISECOND))
    again = plan(subject, 50 * MILLISECOND, LENGTH + 5)
    assert (budget(again), again.choice.left) == (256, 5)
    compute(subject, again)
    compute(subject, plan(subject, None, LENGTH + 5))  # when nobody waited
    whole = plan(subject, 50 * MILLISECOND, LENGTH + 6)
    assert (budget(whole), whole.choice.left) == (BUDGET, 1)


def test_all_context_is_what_later_requests_will_share_however_small_it_is_now() -> None:
    made = plan(slots(), 200 * MILLISECOND)
    assert (budget(made), made.ahead.tokens[0]) == (128, BUDGET)


def test_a_single_slot_is_kept_for_the_whole_context() -> None:
    assert budget(plan(slots(1), 200 * MILLISECOND)) == BUDGET


def test_a_context_that_is_small_already_is_not_made_larger() -> None:
    made = Planner(lay_out, slots(), latencies()).plan(request(100), 100, 0.0)
    assert len(made.choice.prompt.tokens) <= 100


def test_who_shares_the_model_shares_the_time() -> None:
    subject = slots()
    with subject.taken("b", subject.best("b", [Prompt([1, 2], "spm")])):
        made = plan(subject, 300 * MILLISECOND)
    assert budget(made) == 128
