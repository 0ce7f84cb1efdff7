"""A typing session comes to its file exactly, by keys as an editor would see them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsp_server
from lsp_server.bench.typist import GhostText, Keystroke, TypingSession

OURS = sorted(Path(lsp_server.__file__).parent.rglob("*.py"))
SOURCE = "\n\n".join(
    f"def scaled_{number}(first, second):\n    total = first + second * {number}\n    return [total, first]\n"
    for number in range(40)
)
NOW = float("-inf")  # ghost text that has been there for ever

AWKWARD = st.text(alphabet="ab \n\t()[]{}\"'#:\\\r,é🎉", max_size=40)


def typed(
    session: TypingSession, ghost: Callable[[TypingSession], GhostText | None] = lambda session: None
) -> list[Keystroke]:
    """Type all of it; the edits alone must give the session's text."""
    shadow, keys = session.text, []
    while session.due is not None:
        due, share = session.due, session.share
        key = session.press(ghost(session))
        assert key.at == due
        assert session.share >= share
        if key.edit is not None:
            shadow = shadow[: key.edit.start] + key.edit.text + shadow[key.edit.end :]
        assert shadow == session.text
        assert 0 <= key.cursor == session.cursor <= len(shadow)
        keys.append(key)
    assert session.share == 1
    return keys


def gaps(keys: list[Keystroke]) -> list[float]:
    return [after.at - before.at for before, after in pairwise(keys)]


def each_key(session: TypingSession) -> Iterator[Keystroke]:
    """Press key after key; in between, the session is as the key left it."""
    while session.due is not None:
        yield session.press()


@pytest.mark.parametrize("path", OURS, ids=[path.name for path in OURS])
def test_a_session_in_a_real_file_ends_with_that_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    session = TypingSession(text, seed=7, characters=300)
    keys = typed(session)
    assert session.text == text
    assert len(keys) > min(len(text), 100) / 4


def test_a_whole_file_is_typed_into_an_empty_one() -> None:
    session = TypingSession(SOURCE)
    assert session.text == ""
    typed(session)
    assert session.text == SOURCE


@given(AWKWARD, st.integers(0, 3), st.one_of(st.none(), st.integers(1, 30)))
def test_any_text_comes_out_exactly(text: str, seed: int, characters: int | None) -> None:
    session = TypingSession(text, seed, characters=characters)
    typed(session)
    assert session.text == text


@given(st.one_of(AWKWARD, st.just(SOURCE[:600])), st.integers(0, 1000))
def test_accepting_leads_to_the_same_text(text: str, seed: int) -> None:
    """Ghost text is right, right at first, over closers, or nonsense; what is accepted is never wrong."""
    draw = random.Random(seed)

    def ghost(session: TypingSession) -> GhostText | None:
        at = session.cursor
        rest = text[at : at + draw.randrange(1, 30)]  # right where nothing is missing before the cursor
        wrong = draw.choice(["", "", "xyz", "\nzzzz"])
        return GhostText(rest + wrong, NOW, draw.choice([0, 0, 1, 2])) if rest + wrong else None

    session = TypingSession(text, seed)
    typed(session, ghost)
    assert session.text == text


def test_a_seed_fixes_every_key_and_another_seed_types_otherwise() -> None:
    first, again, other = (typed(TypingSession(SOURCE, seed, characters=200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_keys_come_one_after_another_at_a_humans_pace() -> None:
    keys = typed(TypingSession(SOURCE, characters=2000))
    assert min(gaps(keys)) > 0
    assert 0.2 < fmean(sorted(gaps(keys))[: -len(keys) // 10]) < 0.35


def test_the_editor_closes_brackets_and_quotes_and_they_are_typed_over() -> None:
    session = TypingSession("f(['a'])")
    texts = [(session.text, key.edit is None) for key in each_key(session) if key.action == "type"]
    assert ("f([''])", False) in texts
    assert texts[-3:] == [("f(['a'])", True)] * 3


def test_a_closer_that_is_not_wanted_is_deleted() -> None:
    session = TypingSession("smile = (:")
    states = [(key.action, session.text) for key in each_key(session)]
    assert ("type", "smile = ()") in states
    assert ("erase", "smile = (") in states


def test_enter_between_brackets_puts_the_closer_on_its_own_line() -> None:
    session = TypingSession("f(\n    a,\n)\n")
    states = [session.text for _ in each_key(session)]
    assert "f(\n    \n)" in states


def test_a_docstring_is_typed_without_brackets_that_close_themselves() -> None:
    session = TypingSession('"""See (this'), TypingSession("# don't (")
    for each in session:
        assert not any(")" in each.text for _ in each_key(each))


def test_the_cursor_jumps_to_places_with_text_below() -> None:
    session = TypingSession(SOURCE, characters=600)
    moves = [session.text[key.cursor :] for key in each_key(session) if key.action == "move" and not key.edit]
    assert len(moves) >= 3
    assert all(moves)


def test_slips_are_corrected() -> None:
    session = TypingSession("abcdefgh " * 60)
    keys = typed(session)
    erased = sum(key.action == "erase" for key in keys)
    assert 0.02 < erased / len(keys) < 0.12


def test_what_is_typed_after_an_accept_has_the_same_rhythm_as_without() -> None:
    text = "value = compute_everything(first, second)\n"
    plain = typed(TypingSession(text, 5))

    def ghost(session: TypingSession) -> GhostText | None:
        return GhostText(text[session.cursor : 26], NOW) if session.cursor == 10 else None

    session = TypingSession(text, 5)
    keys = typed(session, ghost)
    assert [key.action for key in keys].count("accept") == 1
    assert len(keys) < len(plain)
    assert gaps(keys)[-12:] == pytest.approx(gaps(plain)[-12:])


@pytest.mark.parametrize(
    ("ghost", "accepted"),
    [
        (GhostText("total = 1 + 2", NOW), "total = 1 + 2"),
        (GhostText("total = 1 + 3", NOW), None),
        (GhostText("total = 1 + 2\nwrong", NOW), "total = 1 + 2"),
        (GhostText("tot", NOW), None),
        (GhostText("total = 1 + 2", 1e9), None),
        (GhostText("total = 1 + 2", NOW, replaces=1), None),
    ],
    ids=["right", "wrong", "right for a line", "too short", "not noticed yet", "over what is not there"],
)
def test_ghost_text_is_accepted_when_it_is_right_and_noticed(ghost: GhostText, accepted: str | None) -> None:
    session = TypingSession("total = 1 + 2\nprint(total)\n")
    session.press()  # to the beginning
    key = session.press(ghost)
    assert (key.edit.text if key.action == "accept" and key.edit else None) == accepted


def test_ghost_text_may_replace_the_closers_that_the_editor_has_put_there() -> None:
    session = TypingSession("call(argument)\n")
    while session.text != "call()":
        session.press()
    key = session.press(GhostText("argument)", NOW, replaces=1))
    assert (key.action, session.text) == ("accept", "call(argument)")


def test_a_session_that_accepts_nothing_types_everything() -> None:
    session = TypingSession(SOURCE, characters=100, accepts=False)
    keys = typed(session, lambda session: GhostText(SOURCE[session.cursor : session.cursor + 20], NOW))
    assert "accept" not in {key.action for key in keys}
