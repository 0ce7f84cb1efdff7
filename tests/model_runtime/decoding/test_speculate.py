"""Where drafts come from, and how long they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from model_runtime.decoding import AcceptanceStats, NgramDrafter
from model_runtime.decoding.speculate import MAX_MATCH, RETRY_INTERVAL

# How much is drafted


def dear(width: int) -> float:
    """Where nothing is gained by a wider pass."""
    return 0.9 * width + 0.1


def fair(width: int) -> float:
    return 0.8 + 0.2 * width


def free(width: int) -> float:
    return 1.0


def learnt(outcomes: Sequence[tuple[int, int]]) -> AcceptanceStats:
    stats = AcceptanceStats()
    for proposed, accepted in outcomes:
        stats.record("text", 2, proposed, accepted)
    return stats


def test_drafts_grow_where_they_are_right_and_shrink_where_they_are_not() -> None:
    stats = learnt([(7, 2)] * 40)
    lengths = [stats.draft_length("text", 2, 7, fair)]
    for _ in range(40):
        stats.record("text", 2, 7, 7)
        lengths.append(stats.draft_length("text", 2, 7, fair))
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (2, 7)
    for _ in range(60):
        stats.record("text", 2, 7, 0)
    assert stats.draft_length("text", 2, 7, fair) == 0


def test_drafts_that_do_not_pay_are_left_out_but_for_a_trial() -> None:
    stats = learnt([(3, 0)] * 40)
    lengths = [stats.draft_length("text", 2, 7, fair) for _ in range(3 * RETRY_INTERVAL)]
    assert Counter(lengths) == {0: 3 * RETRY_INTERVAL - 3, 1: 3}


def test_trials_that_are_right_bring_drafts_back() -> None:
    stats = learnt([(3, 0)] * 40)
    assert stats.draft_length("text", 2, 7, fair) == 0
    for _ in range(20 * RETRY_INTERVAL):
        if length := stats.draft_length("text", 2, 7, fair):
            stats.record("text", 2, length, length)
    assert stats.draft_length("text", 2, 7, fair) > 2


def test_a_wider_pass_is_drafted_for_where_it_costs_little() -> None:
    assert [AcceptanceStats().draft_length("text", 3, 7, cost) for cost in (dear, fair, free)] == [0, 3, 7]


def test_where_it_costs_nothing_drafts_are_as_long_as_possible() -> None:
    assert learnt([(7, 0)] * 40).draft_length("text", 2, 7, free) == 7


def test_a_draft_is_no_longer_than_the_limit() -> None:
    stats = learnt([(7, 7)] * 40)
    assert [stats.draft_length("text", MAX_MATCH, limit, free) for limit in range(9)] == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
    ]


def test_one_source_is_not_blamed_for_another() -> None:
    stats = learnt([(3, 0)] * 40)
    assert stats.rate("text", 2) < 0.1
    assert stats.rate("previous", 2) == AcceptanceStats().rate("previous", 2)


# Where drafts are from


def propose(tokens: list[int], made: Sequence[int] = (), limit: int = 7, **options: object) -> list[int]:
    drafter = NgramDrafter(tokens, cost=free, **options)  # type: ignore[arg-type]
    return list(drafter.propose([*tokens, *made], limit))


def test_what_followed_the_same_tokens_is_drafted() -> None:
    assert propose([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2]) == [3, 4, 5, 6, 7, 8, 9]
    assert propose([1, 2, 3, 4, 5, 6, 7, 8, 9, 1], made=[2]) == [3, 4, 5, 6, 7, 8, 9]


def test_without_a_token_in_common_nothing_is_drafted() -> None:
    assert propose([1, 2, 3, 4, 5]) == []
    assert propose([]) == []


def test_a_longer_match_outweighs_a_later_one() -> None:
    assert propose([1, 2, 3, 7, 0, 2, 3, 8, 0, 1, 2, 3], limit=1) == [7]


def test_of_equal_matches_the_last_is_used() -> None:
    assert propose([1, 2, 7, 0, 1, 2, 8, 0, 1, 2], limit=1) == [8]


def test_repetitions_are_drafted_beyond_their_end() -> None:
    assert propose([9, 0, 44, 0, 44]) == [0, 44, 0, 44, 0, 44, 0]


@pytest.mark.parametrize("token", [0, 0xD800, 0xDFFF, 0xFEFF, 0xFFFE, 0x10000, 151_000])
def test_any_token_id_can_be_drafted(token: int) -> None:
    assert propose([token, 1, 2, token, 3, 4, 1, 2], limit=3) == [token, 3, 4]


def test_sentinels_are_neither_drafted_nor_drafted_across() -> None:
    assert propose([1, 2, 3, 99, 5, 6, 1, 2], excluded={99}) == [3]
    assert propose([1, 2, 99, 5, 6, 1, 2], excluded={99}) == []
    assert propose([99, 5, 6, 98, 1, 2, 97], made=[6], excluded={97, 98, 99}) == []
    assert propose([99, 5, 6, 1, 98, 1, 2, 97], made=[5, 6], excluded={97, 98, 99}) == [1]


def test_a_prompt_that_does_not_end_at_the_cursor_can_be_drafted_for() -> None:
    prompt = [99, 1, 2, 3, 4, 0, 1, 2, 98, 8, 8, 97]
    assert propose(prompt, excluded={97, 98, 99}) == []
    assert propose(prompt, excluded={97, 98, 99}, before=[0, 1, 2], limit=3) == [3, 4, 0]
    assert propose(prompt, made=[3], excluded={97, 98, 99}, before=[0, 1, 2], limit=3) == [4, 0, 1]


def test_other_files_are_looked_up() -> None:
    assert propose([1, 2], others=[[5, 5, 5], [7, 1, 2, 3, 4]]) == [3, 4]


def test_a_previous_completion_is_followed_from_the_first_token_on_while_it_agrees() -> None:
    previous = [5, 6, 7, 8, 9]
    assert propose([1, 2], previous=previous) == previous
    assert propose([1, 2], made=[5, 6], previous=previous) == [7, 8, 9]
    assert propose([1, 2], made=[5, 0], previous=previous) == []
    assert propose([1, 2], made=previous, previous=previous) == []


def test_a_previous_completion_is_found_again_after_a_difference() -> None:
    assert propose([1, 2], made=[5, 0, 7, 8], previous=[5, 6, 7, 8, 9]) == [9]


def test_a_drafter_keeps_up_with_what_is_made() -> None:
    tokens = [1, 2, 3, 4, 5, 7]
    drafter = NgramDrafter(tokens, cost=free)
    assert drafter.propose(tokens, 7) == ()
    tokens += [1, 2]
    assert drafter.propose(tokens, 2) == [3, 4]
    drafter.record(2, 1)
    tokens += [3, 9, 4, 5]
    assert drafter.propose(tokens, 2) == [7, 1]
