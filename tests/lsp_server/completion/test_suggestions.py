"""A suggestion is valid wherever the document that it suggests can still be reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.completion.cursor_text import SUFFIX_CHARACTERS, CursorText
from lsp_server.completion.suggestions import MAX_CACHED, CachedSuggestion, SuggestionCache
from lsp_server.trimming.trim import Piece
from model_runtime.api import Snippet

CLOSERS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}


def suggest(prefix: str, text: str, suffix: str = "", *, ends: bool = True) -> CachedSuggestion:
    """A suggestion of `text`, which is all that the model wrote if it `ends`."""
    made = CachedSuggestion(CursorText(prefix, suffix), generated=text)
    if ends:
        made.finish(cut=False)
    return made


def test_what_was_typed_is_cut_off_the_front() -> None:
    made = suggest("x = ", "foo(1)", "\nz")
    assert made.piece_at(CursorText("x = ", "\nz")) == Piece("foo(1)")
    assert made.piece_at(CursorText("x = fo", "\nz")) == Piece("o(1)")


@pytest.mark.parametrize(
    "cursor",
    [
        CursorText("x = fi", "\nz"),  # typed otherwise
        CursorText("y = fo", "\nz"),  # typed somewhere else
        CursorText("x =", "\nz"),  # taken back
        CursorText("x = fo", "\nw"),  # something else follows
        CursorText("x = foo(1)", "\nz"),  # nothing is left
        CursorText("x = foo(1) + 1", "\nz"),
    ],
)
def test_a_suggestion_is_not_valid_where_its_document_cannot_be_reached(cursor: CursorText) -> None:
    assert suggest("x = ", "foo(1)", "\nz").piece_at(cursor) is None


def test_an_editor_may_close_the_bracket_that_the_suggestion_closes() -> None:
    made = suggest("x = ", "foo(1)", "\nz")
    assert made.piece_at(CursorText("x = foo(", ")\nz")) == Piece("1")
    assert made.piece_at(CursorText("x = foo(1", ")\nz")) is not None


def test_a_closed_bracket_that_the_suggestion_goes_on_after_is_covered() -> None:
    made = suggest("", "def f(a):\n    return a", "\n\nz = 1")
    assert made.piece_at(CursorText("def f(", ")\n\nz = 1")) == Piece("a):\n    return a", covers=1)
    assert made.piece_at(CursorText("def f(a)", "\n\nz = 1")) == Piece(":\n    return a")


def test_an_editor_may_close_a_quote_in_a_bracket() -> None:
    made = suggest("", 'f("a")')
    assert made.piece_at(CursorText("f(", ")")) == Piece('"a"')
    assert made.piece_at(CursorText('f("', '")')) == Piece("a")
    assert (
        made.piece_at(CursorText('f("a"', ")")) == Piece("", 0)
        or made.piece_at(CursorText('f("a"', ")")) is None
    )


def test_a_brace_that_an_editor_closes_on_a_line_of_its_own_is_not_doubled() -> None:
    made = CachedSuggestion(CursorText("x = ", "\n"), generated="{\n    'a': 1,\n}\n")
    made.finish(cut=False)
    piece = made.piece_at(CursorText("x = {\n    ", "\n}\n"))
    assert piece is None or "x = {\n    " + piece.text + "\n}\n" == "x = {\n    'a': 1,\n}\n"


def test_a_closer_that_the_suggestion_does_not_have_makes_it_invalid() -> None:
    assert suggest("", "f + 1").piece_at(CursorText("f", ")")) is None


def test_text_that_the_user_put_after_the_cursor_makes_it_invalid() -> None:
    assert suggest("", "f(x)\n", "\n").piece_at(CursorText("f", "x\n")) is None


def test_a_suggestion_of_nothing_is_an_answer_too() -> None:
    made = suggest("x", "", "\n")
    assert made.piece_at(CursorText("x", "\n")) == Piece("")
    assert made.piece_at(CursorText("xy", "\n")) is None


def test_growing_text_is_shown_up_to_the_bracket_that_the_editor_has_closed() -> None:
    made = suggest("", "f(a", ends=False)
    cursor = CursorText("f(", ")")
    assert made.piece_at(cursor) == Piece("a")
    shown = []
    for piece in (", b", ")", " + 1"):
        made.feed(piece)
        so_far = made.piece_at(cursor)
        assert so_far is not None
        shown.append(so_far.text)
    made.finish(cut=False)
    final = made.piece_at(cursor)
    assert final is not None
    for earlier, later in zip(shown, [*shown[1:], final.text], strict=True):
        assert later.startswith(earlier)


def test_the_next_line_is_served_from_what_was_written_beyond_the_end() -> None:
    made = CachedSuggestion(CursorText("def f():\n    x = ", "\n"), generated="1\n    return x\n")
    assert made.done
    assert made.enough
    cache = SuggestionCache()
    cache.add(made)
    cursor = CursorText("def f():\n    x = 1\n    ", "\n")
    continued = cache.find(cursor)
    assert continued is not None
    piece = continued.piece_at(cursor)
    assert piece is not None
    assert piece.text.startswith("return x")
    assert cache.find(cursor) is continued


def test_a_line_is_not_enough_before_the_next_one_is_whole() -> None:
    made = CachedSuggestion(CursorText("x = ", "\n"), generated="1\n")
    assert made.done
    assert not made.enough
    made.feed("\ny = 2")
    assert not made.enough
    made.feed("\n")
    assert made.enough


def test_what_follows_a_bracket_that_was_typed_over_is_still_valid() -> None:
    made = CachedSuggestion(CursorText("x = f(", ")\n"), generated="a)\n")
    assert not made.enough
    made.feed("y = 2\n")
    assert made.enough
    cache = SuggestionCache()
    cache.add(made)
    found = cache.find(CursorText("x = f(a)\n", "\n"))
    assert found is not None
    piece = found.piece_at(CursorText("x = f(a)\n", "\n"))
    assert piece is not None
    assert piece.text == "y = 2"


def test_the_newest_suggestion_is_preferred() -> None:
    cache = SuggestionCache()
    older, newer, other = suggest("", "ab"), suggest("", "ac"), suggest("", "ad")
    cache.add(older)
    cache.add(newer)
    cache.add(other, newest=False)
    assert cache.find(CursorText("", "")) is newer
    assert cache.find(CursorText("a", "")) is newer
    newer_than_all = suggest("", "ae")
    cache.add(newer_than_all)
    cache.remove(newer_than_all)
    assert cache.find(CursorText("", "")) is newer


def test_the_oldest_suggestions_are_dropped() -> None:
    cache = SuggestionCache()
    for number in range(MAX_CACHED + 1):
        cache.add(suggest(f"{number}: ", "x"))
    assert cache.find(CursorText("0: ", "")) is None
    assert cache.find(CursorText("1: ", "")) is not None
    cache.clear()
    assert cache.find(CursorText("1: ", "")) is None


def test_with_other_snippets_only_the_newest_suggestion_counts() -> None:
    cache = SuggestionCache()
    cache.add(suggest("a", "x"))
    cache.add(suggest("b", "yz"))
    context = (Snippet("other.py", "text"),)
    assert cache.find(CursorText("a", "", context)) is None
    assert cache.find(CursorText("by", "", context)) is not None


def test_a_suffix_is_the_same_though_its_window_ends_elsewhere() -> None:
    below = "".join(f"\nline {number}" for number in range(1000))
    made = CachedSuggestion(CursorText("f", below[:SUFFIX_CHARACTERS]), generated="(a) + b\n")
    assert made.piece_at(CursorText("f(", ")" + below[: SUFFIX_CHARACTERS - 1])) == Piece("a) + b", covers=1)


words = st.lists(st.sampled_from([*"ab()[]{}\"'\n:, ", "    "]), max_size=12).map("".join)


@given(prefix=words, text=words, suffix=words, typed=words, inserted=words)
def test_wherever_a_suggestion_is_valid_accepting_it_makes_the_document_that_was_suggested(
    prefix: str, text: str, suffix: str, typed: str, inserted: str
) -> None:
    made = suggest(prefix, text, suffix)
    at_anchor = made.piece_at(CursorText(prefix, suffix))
    assert at_anchor is not None
    suggested = prefix + at_anchor.text + suffix[at_anchor.covers :]
    for cursor in (
        CursorText(prefix + typed, inserted + suffix),
        CursorText(prefix + typed, suffix[len(inserted) :]),
    ):
        piece = made.piece_at(cursor)
        if piece is not None:
            accepted = cursor.after(piece)
            assert accepted.prefix + accepted.suffix == suggested


@given(prefix=words, text=words, suffix=words, data=st.data())
def test_a_suggestion_is_valid_at_every_key_of_an_editor_that_closes_brackets(
    prefix: str, text: str, suffix: str, data: st.DataObject
) -> None:
    made = suggest(prefix, text, suffix)
    shown = made.piece_at(CursorText(prefix, suffix))
    assert shown is not None
    typed, closed = "", ""
    for character in shown.text:
        held = made.piece_at(CursorText(prefix + typed, closed + suffix[shown.covers :]))
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
def test_a_growing_suggestion_is_never_ahead_of_what_the_model_wrote(
    text: str, cut: int, suffix: str
) -> None:
    made = CachedSuggestion(CursorText("", suffix))
    made.feed(text[:cut])
    for length in range(len(text)):
        if made.agrees_with(CursorText(text[:length], suffix)):
            assert made.generated.startswith(text[:length])
