"""What is drawn: lines, colours, and ghost text between them."""

from __future__ import annotations

import pytest
from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.mouse_events import MouseButton, MouseEvent, MouseEventType

from lsp_server.client import Connection, ServerGone
from lsp_server.document import Position
from lsp_server.terminal.drawing import GHOST_STYLE, TextControl
from lsp_server.terminal.editor import Editor
from lsp_server.terminal.files import OpenFile
from lsp_server.terminal.ghost import Ghost


async def nobody() -> Connection:
    raise ServerGone


def editor(text: str, cursor: int, name: str = "a.py") -> Editor:
    return Editor(OpenFile(name, text=text, cursor=cursor), nobody, lambda: None)


def rows(control: TextControl, height: int = 20) -> list[StyleAndTextTuples]:
    content = control.create_content(80, height)
    return [content.get_line(row) for row in range(content.line_count)]


def texts(control: TextControl) -> list[str]:
    return [fragment_list_to_text(row) for row in rows(control)]


def ghosts(control: TextControl) -> str:
    return "|".join(text for row in rows(control) for style, text, *_ in row if style == GHOST_STYLE)


def test_ghost_text_stands_at_the_cursor_and_below_it() -> None:
    one = editor("\tf()\nnext", 3)
    one.ghost = Ghost("b:\n\tc)", ")", {})
    control = TextControl(one)
    assert texts(control) == ["    f(b:", "    c)", "next"]
    assert ghosts(control) == "b:|    c"
    content = control.create_content(80, 20)
    assert content.cursor_position == Point(x=6, y=0)


def test_a_click_puts_the_cursor_where_it_is_seen() -> None:
    one = editor("first\n\t漢b\nthird", 5)
    one.ghost = Ghost("\n\n", "", {"insertText": "\n\n"})
    control = TextControl(one)
    for x, y, place in ((4, 3, Position(1, 1)), (5, 1, Position(1, 2)), (99, 99, Position(2, 5))):
        where = MouseEvent(Point(x=x, y=y), MouseEventType.MOUSE_DOWN, MouseButton.LEFT, frozenset())
        control.mouse_handler(where)
        assert one.buffer.cursor == place
        assert one.ghost is None


@pytest.mark.parametrize("name", ["a.py", "a.c", "notes"])
def test_a_long_text_is_drawn_as_it_is_wherever_the_cursor_is(name: str) -> None:
    text = "".join(f"def f{number}(x):\n    return '''{number}\n\n" for number in range(300))
    one = editor(text, len(text) // 2, name)
    control = TextControl(one)
    content = control.create_content(80, 24)
    row = one.buffer.cursor.line
    for number in range(row - 24, row + 24):
        assert fragment_list_to_text(content.get_line(number)) == one.buffer.line(number)


def test_keywords_have_a_colour() -> None:
    first = rows(TextControl(editor("def f(): pass", 0)))[0][0]
    assert first[:2] == ("class:pygments.keyword", "def")
