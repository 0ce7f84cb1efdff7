"""Offers: an answer serves every place from which the document that it proposes can still be reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.completion.cursor_text import SUFFIX_CHARACTERS, Place
from lsp_server.completion.suggestions import MOST_OFFERS, Offer, Offers
from lsp_server.trimming.trim import Piece
from model_runtime.api import Snippet

CLOSERS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}


def offer(prefix: str, text: str, suffix: str = "", *, ends: bool = True) -> Offer:
    """An offer of `text`, which is all that the model wrote if it `ends`."""
    made = Offer(Place(prefix, suffix), raw=text)
    if ends:
        made.end(cut=False)
    return made


def test_what_was_typed_is_cut_off_the_front() -> None:
    made = offer("x = ", "foo(1)", "\nz")
    assert made.at(Place("x = ", "\nz")) == Piece("foo(1)")
    assert made.at(Place("x = fo", "\nz")) == Piece("o(1)")


@pytest.mark.parametrize(
    "place",
    [
        Place("x = fi", "\nz"),  # typed otherwise
        Place("y = fo", "\nz"),  # typed somewhere else
        Place("x =", "\nz"),  # taken back
        Place("x = fo", "\nw"),  # something else follows
        Place("x = foo(1)", "\nz"),  # nothing is left
        Place("x = foo(1) + 1", "\nz"),
    ],
)
def test_an_offer_does_not_hold_where_its_document_is_not(place: Place) -> None:
    assert offer("x = ", "foo(1)", "\nz").at(place) is None


def test_an_editor_may_close_the_bracket_that_the_offer_closes() -> None:
    made = offer("x = ", "foo(1)", "\nz")
    assert made.at(Place("x = foo(", ")\nz")) == Piece("1")
    assert made.at(Place("x = foo(1", ")\nz")) is not None


def test_a_closed_bracket_that_the_offer_goes_on_after_is_covered() -> None:
    made = offer("", "def f(a):\n    return a", "\n\nz = 1")
    assert made.at(Place("def f(", ")\n\nz = 1")) == Piece("a):\n    return a", covers=1)
    assert made.at(Place("def f(a)", "\n\nz = 1")) == Piece(":\n    return a")


def test_an_editor_may_close_a_quote_in_a_bracket() -> None:
    made = offer("", 'f("a")')
    assert made.at(Place("f(", ")")) == Piece('"a"')
    assert made.at(Place('f("', '")')) == Piece("a")
    assert made.at(Place('f("a"', ")")) == Piece("", 0) or made.at(Place('f("a"', ")")) is None


def test_a_brace_that_an_editor_closes_on_a_line_of_its_own_is_not_doubled() -> None:
    made = Offer(Place("x = ", "\n"), raw="{\n    'a': 1,\n}\n")
    made.end(cut=False)
    piece = made.at(Place("x = {\n    ", "\n}\n"))
    assert piece is None or "x = {\n    " + piece.text + "\n}\n" == "x = {\n    'a': 1,\n}\n"


def test_a_closer_that_the_offer_does_not_have_voids_it() -> None:
    assert offer("", "f + 1").at(Place("f", ")")) is None


def test_text_that_the_user_put_after_the_cursor_voids_it() -> None:
    assert offer("", "f(x)\n", "\n").at(Place("f", "x\n")) is None


def test_an_offer_of_nothing_is_an_answer_too() -> None:
    made = offer("x", "", "\n")
    assert made.at(Place("x", "\n")) == Piece("")
    assert made.at(Place("xy", "\n")) is None


def test_growing_text_is_shown_up_to_the_bracket_that_the_editor_has_closed() -> None:
    made = offer("", "f(a", ends=False)
    place = Place("f(", ")")
    assert made.at(place) == Piece("a")
    shown = []
    for piece in (", b", ")", " + 1"):
        made.feed(piece)
        so_far = made.at(place)
        assert so_far is not None
        shown.append(so_far.text)
    made.end(cut=False)
    final = made.at(place)
    assert final is not None
    for earlier, later in zip(shown, [*shown[1:], final.text], strict=True):
        assert later.startswith(earlier)


def test_the_next_line_is_served_from_what_was_written_beyond_the_end() -> None:
    made = Offer(Place("def f():\n    x = ", "\n"), raw="1\n    return x\n")
    assert made.done
    assert made.enough
    offers = Offers()
    offers.add(made)
    place = Place("def f():\n    x = 1\n    ", "\n")
    moved = offers.find(place)
    assert moved is not None
    piece = moved.at(place)
    assert piece is not None
    assert piece.text.startswith("return x")
    assert offers.find(place) is moved


def test_a_line_is_not_enough_before_the_next_one_is_whole() -> None:
    made = Offer(Place("x = ", "\n"), raw="1\n")
    assert made.done
    assert not made.enough
    made.feed("\ny = 2")
    assert not made.enough
    made.feed("\n")
    assert made.enough


def test_a_bracket_that_was_typed_over_does_not_void_what_comes_after_it() -> None:
    made = Offer(Place("x = f(", ")\n"), raw="a)\n")
    assert not made.enough
    made.feed("y = 2\n")
    assert made.enough
    offers = Offers()
    offers.add(made)
    found = offers.find(Place("x = f(a)\n", "\n"))
    assert found is not None
    piece = found.at(Place("x = f(a)\n", "\n"))
    assert piece is not None
    assert piece.text == "y = 2"


def test_the_newest_offer_is_preferred() -> None:
    offers = Offers()
    older, newer, other = offer("", "ab"), offer("", "ac"), offer("", "ad")
    offers.add(older)
    offers.add(newer)
    offers.add(other, newest=False)
    assert offers.find(Place("", "")) is newer
    assert offers.find(Place("a", "")) is newer
    newer_than_all = offer("", "ae")
    offers.add(newer_than_all)
    offers.forget(newer_than_all)
    assert offers.find(Place("", "")) is newer


def test_old_offers_are_forgotten() -> None:
    offers = Offers()
    for number in range(MOST_OFFERS + 1):
        offers.add(offer(f"{number}: ", "x"))
    assert offers.find(Place("0: ", "")) is None
    assert offers.find(Place("1: ", "")) is not None
    offers.clear()
    assert offers.find(Place("1: ", "")) is None


def test_another_context_voids_all_but_the_newest() -> None:
    offers = Offers()
    offers.add(offer("a", "x"))
    offers.add(offer("b", "yz"))
    context = (Snippet("other.py", "text"),)
    assert offers.find(Place("a", "", context)) is None
    assert offers.find(Place("by", "", context)) is not None


def test_a_suffix_is_the_same_though_its_window_ends_elsewhere() -> None:
    below = "".join(f"line {number}\n" for number in range(1000))
    made = Offer(Place("f", below[:SUFFIX_CHARACTERS]), raw="(a) + b\n")
    assert made.at(Place("f(", ")" + below[: SUFFIX_CHARACTERS - 1])) == Piece("a) + b", covers=1)


words = st.lists(st.sampled_from([*"ab()[]{}\"'\n:, ", "    "]), max_size=12).map("".join)


@given(prefix=words, text=words, suffix=words, typed=words, inserted=words)
def test_wherever_an_offer_holds_accepting_it_makes_the_document_that_was_offered(
    prefix: str, text: str, suffix: str, typed: str, inserted: str
) -> None:
    made = offer(prefix, text, suffix)
    at_anchor = made.at(Place(prefix, suffix))
    assert at_anchor is not None
    offered = prefix + at_anchor.text + suffix[at_anchor.covers :]
    for place in (Place(prefix + typed, inserted + suffix), Place(prefix + typed, suffix[len(inserted) :])):
        piece = made.at(place)
        if piece is not None:
            accepted = place.after(piece)
            assert accepted.prefix + accepted.suffix == offered


@given(prefix=words, text=words, suffix=words, data=st.data())
def test_an_offer_holds_at_every_key_of_an_editor_that_closes_brackets(
    prefix: str, text: str, suffix: str, data: st.DataObject
) -> None:
    made = offer(prefix, text, suffix)
    shown = made.at(Place(prefix, suffix))
    assert shown is not None
    typed, closed = "", ""
    for character in shown.text:
        held = made.at(Place(prefix + typed, closed + suffix[shown.covers :]))
        assert held is not None
        if closed and character == closed[0]:  # typed over
            closed = closed[1:]
        elif character in "([{" and data.draw(st.booleans()):
            rest = shown.text[len(typed) + 1 :]
            if not _closes(rest, CLOSERS[character] + closed):
                return
            closed = CLOSERS[character] + closed
        typed += character


def _closes(text: str, closers: str) -> bool:
    """Whether `text` has these characters in this order."""
    rest = iter(text)
    return all(closer in rest for closer in closers)


@given(text=words, cut=st.integers(0, 12), suffix=words)
def test_an_offer_that_grows_is_never_ahead_of_what_the_model_wrote(text: str, cut: int, suffix: str) -> None:
    made = Offer(Place("", suffix))
    made.feed(text[:cut])
    for length in range(len(text)):
        if made.agrees(Place(text[:length], suffix)):
            assert made.raw.startswith(text[:length])
