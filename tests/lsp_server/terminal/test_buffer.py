"""The text that is edited: what keys do to it, what a server is told, and the way back."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lsp_server.document import Document, Edit, Position
from lsp_server.terminal.buffer import Buffer


class Told:
    """A buffer, and a server's document that hears of nothing but its edits."""

    def __init__(self, text: str, cursor: int | None = None) -> None:
        self.edits: list[Edit] = []
        self.document = Document(text, encoding="utf-16")
        self.buffer = Buffer(text, len(text) if cursor is None else cursor, self._edited)

    def _edited(self, edit: Edit) -> None:
        self.edits.append(edit)
        self.document.replace(edit.text, edit.where)

    def both(self) -> str:
        assert self.document.text == self.buffer.text
        return self.buffer.text


def keys(buffer: Buffer) -> list[Callable[[], object]]:
    return [
        lambda: buffer.insert("x", typed=True),
        lambda: buffer.insert("🎉", typed=True),
        lambda: buffer.insert("e\u0301\n\tб", typed=False),
        buffer.enter,
        lambda: buffer.insert("ab", over=min(2, len(buffer.after))),
        buffer.indent,
        buffer.backspace,
        buffer.delete,
        buffer.undo,
        buffer.redo,
        buffer.move_left,
        buffer.move_right,
        buffer.move_word_left,
        buffer.move_word_right,
        lambda: buffer.move_vertically(1),
        lambda: buffer.move_vertically(-2),
        buffer.move_home,
        buffer.move_end,
    ]


@given(
    st.text(st.sampled_from("a \n🎉漢\u0301\u2028(:"), max_size=20),
    st.booleans(),
    st.lists(st.integers(0, 17), max_size=40),
)
def test_a_server_that_is_told_every_edit_has_the_text(text: str, windows: bool, presses: list[int]) -> None:
    told = Told(text.replace("\n", "\r\n") if windows else text, 0)
    start, texts = told.both(), []
    for press in presses:
        keys(told.buffer)[press]()
        texts.append(told.both())
    while told.buffer.undo():
        told.both()
    assert told.both() == start
    assert not told.buffer.changed
    while told.buffer.redo():
        told.both()


def test_edits_are_told_in_utf_16() -> None:
    told = Told("a = '🎉e\u0301漢'")
    told.buffer.move_left()
    told.buffer.insert("x")
    [edit] = told.edits
    assert edit.where is not None
    assert edit.where.start == edit.where.end == Position(0, 10)
    assert told.both() == "a = '🎉e\u0301漢x'"


def test_backspace_deletes_an_accented_letter_and_a_step_of_indentation() -> None:
    told = Told("        e\u0301")
    told.buffer.backspace()
    assert told.both() == " " * 8
    told.buffer.backspace()
    assert told.both() == " " * 4


def test_enter_keeps_the_indentation_and_deepens_it_after_a_colon() -> None:
    told = Told("    if x:")
    told.buffer.enter()
    assert told.both() == "    if x:\n        "


def test_enter_leaves_no_spaces_behind_in_an_empty_line() -> None:
    told = Told("if x:\r\n    ")
    told.buffer.enter()
    assert told.both() == "if x:\r\n\r\n    "


def test_a_file_of_windows_keeps_its_line_ends() -> None:
    told = Told("a\r\nb\r\n", 1)
    told.buffer.insert("\nx\ny")
    assert told.both() == "a\r\nx\r\ny\r\nb\r\n"
    told.buffer.delete()
    assert told.both() == "a\r\nx\r\nyb\r\n"
    told.buffer.move_home()
    told.buffer.backspace()
    assert told.both() == "a\r\nxyb\r\n"


def test_a_pasted_carriage_return_is_a_line_end() -> None:
    told = Told("")
    told.buffer.insert("a\rb\r\nc")
    assert told.both() == "a\nb\nc"


def test_the_tabulator_indents_as_the_file_does() -> None:
    spaces, tabs = Told("ab"), Told("if x:\n\ty")
    spaces.buffer.indent()
    tabs.buffer.indent()
    assert (spaces.both(), tabs.both()) == ("ab  ", "if x:\n\ty\t")


def test_undo_takes_back_a_word_and_redo_brings_it_again() -> None:
    told = Told("")
    for character in "one two":
        told.buffer.insert(character, typed=True)
    assert told.buffer.undo()
    assert told.both() == "one"
    assert told.buffer.undo()
    assert (told.both(), told.buffer.undo()) == ("", False)
    while told.buffer.redo():
        pass
    assert told.both() == "one two"
    told.buffer.undo()
    told.buffer.insert("!")
    assert not told.buffer.redo()


def test_undoing_back_to_what_was_saved_leaves_nothing_to_save() -> None:
    told = Told("a")
    told.buffer.insert("b", typed=True)
    assert told.buffer.changed
    told.buffer.saved()
    told.buffer.insert("c", typed=True)
    assert told.buffer.changed
    told.buffer.undo()
    assert (told.both(), told.buffer.changed) == ("ab", False)
    told.buffer.undo()
    assert (told.both(), told.buffer.changed) == ("a", True)


def test_the_cursor_comes_back_to_its_column_through_shorter_lines() -> None:
    buffer = Told("\tlong line\nab\n漢字漢字漢字", 5).buffer
    assert buffer.cursor == Position(0, 5)
    buffer.move_vertically(1)
    assert buffer.cursor == Position(1, 2)
    buffer.move_vertically(1)
    assert buffer.cursor == Position(2, 4)  # the eighth cell
    buffer.move_vertically(-2)
    assert buffer.cursor == Position(0, 5)


def test_home_goes_to_the_first_character_and_then_to_the_start() -> None:
    buffer = Told("    abc").buffer
    buffer.move_home()
    assert buffer.cursor == Position(0, 4)
    buffer.move_home()
    assert buffer.cursor == Position(0, 0)


def test_a_form_feed_or_a_line_separator_ends_no_line() -> None:
    assert Told("a\x0cb\u2028c\u0085d").buffer.line_count == 1
