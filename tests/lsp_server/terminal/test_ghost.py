"""Ghost text: what an item shows at a cursor, and what is left of it."""

from __future__ import annotations

from typing import Any

from lsp_server.terminal.ghost import Ghost, latest, read_item


def item(text: str, start: int, end: int) -> dict[str, Any]:
    edges = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}}
    return {"insertText": text, "range": edges, "command": {"arguments": ["id"]}}


def ghost(text: str, covered: str = "") -> Ghost:
    return Ghost(text, covered, {"insertText": text})


def test_the_word_that_is_typed_already_is_not_shown_again() -> None:
    found = read_item(item("return a", 6, 9), "'🎉'  ret", 8)
    assert found is not None
    assert (found.text, found.covered, found.id) == ("urn a", "", "id")


def test_an_item_that_says_otherwise_than_what_is_typed_shows_nothing() -> None:
    assert read_item(item("return", 0, 3), "rat", 3) is None
    assert read_item(item("ret", 0, 3), "ret", 3) is None
    assert read_item(item("x", 4, 5), "abcdef", 2) is None


def test_an_item_without_a_range_is_inserted_at_the_cursor() -> None:
    found = read_item({"insertText": "b\r\nc"}, "a = ", 4)
    assert found is not None
    assert (found.text, found.id) == ("b\nc", None)


def test_what_is_typed_leaves_the_rest() -> None:
    whole = ghost("\n    return x")
    left = whole.after("\n    ")
    assert left is not None
    assert left.text == "return x"
    assert left.after("return x") is None
    assert left.after("ru") is None


def test_a_bracket_that_stands_there_is_shown_once() -> None:
    found = read_item(item("a, b)", 6, 7), "print()", 6)
    assert found is not None
    assert found.covered == ")"
    assert found.parts() == [("a, b", True), (")", False)]
    assert found.after("a, b") is None  # nothing is left but what stands there


def test_what_stands_there_may_be_in_the_middle_of_the_ghost_text() -> None:
    assert ghost("'a'] = b", "']").parts() == [("'a", True), ("'", False), ("]", False), (" = b", True)]
    assert ghost("abc", "x").parts() == [("abc", True)]


def test_words_are_accepted_one_by_one_until_nothing_is_left() -> None:
    rest: Ghost | None = ghost("self.area(x)\n    return", ")")
    words = []
    while rest is not None:
        words.append(rest.first_word)
        rest = rest.after(words[-1])
    assert words == ["self", ".", "area", "(", "x", ")", "\n    return"]
    assert ghost("x)", ")").first_word == "x)"


def test_a_server_is_told_how_much_is_accepted_in_utf_16() -> None:
    found = read_item(item("ret🎉urn x", 0, 3), "ret", 3)
    assert found is not None
    assert found.accepted_units("🎉urn") == 8


def test_an_answer_that_has_only_begun_does_not_take_back_what_is_shown() -> None:
    whole, begun, other = ghost("return x"), ghost("ret"), ghost("raise")
    assert latest(whole, begun) is whole
    assert latest(whole, None) is whole
    assert latest(whole, other) is other
    assert latest(begun, whole) is whole
    assert latest(None, begun) is begun
