"""Renders the text for prompt_toolkit: highlighted lines, with the ghost text between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.layout.controls import UIContent, UIControl
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType

from lsp_server.terminal.characters import column_at_drawn, drawn, width
from lsp_server.terminal.colours import Colours
from lsp_server.terminal.editor import Editor
from lsp_server.terminal.ghost import Ghost

if TYPE_CHECKING:
    from prompt_toolkit.key_binding.key_bindings import NotImplementedOrNone

GHOST_STYLE = "class:ghost"


class TextControl(UIControl):
    """Draws an editor's text. `height` is the number of lines on the screen."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._colours = Colours(editor.file.name)
        self.height = 1

    def is_focusable(self) -> bool:
        """See `UIControl`."""
        return True

    def create_content(self, width: int, height: int) -> UIContent:
        """See `UIControl`. Lines are rendered when they are drawn."""
        self.height = height
        buffer = self._editor.buffer
        cursor = buffer.cursor
        coloured = self._colours
        coloured.prepare(buffer, cursor.line - height, cursor.line + height)
        block = rows_at_cursor(coloured.line(cursor.line), cursor.character, self._editor.ghost)

        def line(row: int) -> StyleAndTextTuples:
            if cursor.line <= row < cursor.line + len(block):
                return drawn_line(block[row - cursor.line])
            return drawn_line(coloured.line(row if row < cursor.line else row - len(block) + 1))

        return UIContent(
            get_line=line,
            line_count=buffer.line_count + len(block) - 1,
            cursor_position=Point(x=len(drawn(buffer.before)), y=cursor.line),
        )

    def mouse_handler(self, mouse_event: MouseEvent) -> NotImplementedOrNone:
        """See `UIControl`."""
        if mouse_event.event_type != MouseEventType.MOUSE_DOWN:
            return NotImplemented
        editor = self._editor
        row, below = mouse_event.position.y, editor.buffer.cursor.line + self.ghost_rows
        line = min(row, editor.buffer.cursor.line) if row <= below else row - self.ghost_rows
        line = min(line, editor.buffer.line_count - 1)
        column = column_at_drawn(editor.buffer.line(line), mouse_event.position.x)
        editor.key_pressed()
        editor.move_to(line, column)
        return None

    def move_cursor_down(self) -> None:
        """See `UIControl`: the mouse wheel moves the cursor."""
        self._editor.move(lambda: self._editor.buffer.move_vertically(1))

    def move_cursor_up(self) -> None:
        """See `UIControl`."""
        self._editor.move(lambda: self._editor.buffer.move_vertically(-1))

    @property
    def ghost_rows(self) -> int:
        """How many lines the ghost text adds below the cursor's line."""
        return self._editor.ghost.text.count("\n") if self._editor.ghost is not None else 0


def rows_at_cursor(line: StyleAndTextTuples, column: int, ghost: Ghost | None) -> list[StyleAndTextTuples]:
    """The cursor's line with the ghost text in it, which may have several lines."""
    if ghost is None:
        return [line]
    rows: StyleAndTextTuples = _cut(line, 0, column)
    for text, is_ghost in ghost.parts():
        if is_ghost:
            rows.append((GHOST_STYLE, text))
        else:
            rows += _cut(line, column, column + len(text))
            column += len(text)
    shown = sum(len(text) for text, is_ghost in ghost.parts() if not is_ghost)
    rows += _cut(line, column + len(ghost.covered) - shown, None)
    return list(split_lines(rows))


def drawn_line(line: StyleAndTextTuples) -> StyleAndTextTuples:
    """A line's pieces with tabs as spaces, without control characters."""
    shown: StyleAndTextTuples = []
    cell = 0
    for style, text, *_ in line:
        shown.append((style, drawn(text, cell)))
        cell += width(text, cell)
    return shown


def _cut(line: StyleAndTextTuples, start: int, stop: int | None) -> StyleAndTextTuples:
    """The characters of a line from `start` to `stop`."""
    found: StyleAndTextTuples = []
    for style, text, *_ in line:
        piece = text[max(start, 0) : None if stop is None else max(stop, 0)]
        if piece:
            found.append((style, piece))
        start -= len(text)
        stop = None if stop is None else stop - len(text)
    return found
