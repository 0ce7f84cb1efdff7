"""The text being edited, with a cursor and undo.

Positions count characters here; edits are reported in UTF-16 code units, as LSP wants them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lsp_server.completion import indentation_below
from lsp_server.document import Document, Edit, Position, Range, code_units
from lsp_server.terminal.characters import (
    TAB_WIDTH,
    column_at_cell,
    step_left,
    step_right,
    width,
    word_left,
    word_right,
)

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class UndoStep:
    """An edit that can be undone: at offset `start`, `removed` was replaced by `inserted`.

    `typed` says that it is a typed key, which may join the step of the key before it.
    """

    start: int
    removed: str
    inserted: str
    typed: bool
    cursor: Position

    def joined(self, later: UndoStep) -> UndoStep | None:
        """Both as one step if both are letters of one word; else None."""
        end = self.start + len(self.inserted)
        if not (self.typed and later.typed) or later.removed or self.removed or later.start != end:
            return None
        if not later.inserted.strip() and self.inserted.strip():
            return None
        return UndoStep(self.start, "", self.inserted + later.inserted, True, self.cursor)


class Buffer:
    """A text with a cursor. `edited` is called with every edit, in UTF-16, before it is applied."""

    def __init__(self, text: str, cursor: int, edited: Callable[[Edit], None]) -> None:
        self._document = Document(text, encoding="utf-32")
        self._edited = edited
        self._done: list[UndoStep] = []
        self._undone: list[UndoStep] = []
        self._saved: UndoStep | None = None
        self._goal: int | None = None
        self._line_end = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
        self._indents_with_tabs = text.startswith("\t") or "\n\t" in text
        self.cursor = self._document.position_at(cursor)
        self.revision = 0

    @property
    def text(self) -> str:
        """The whole text, with the file's line ends."""
        return self._document.text

    @property
    def line_count(self) -> int:
        """How many lines there are, at least one."""
        return self._document.line_count

    @property
    def changed(self) -> bool:
        """Whether there are unsaved changes."""
        return (self._done[-1] if self._done else None) is not self._saved

    def saved(self) -> None:
        """Record that the text was saved."""
        self._saved = self._done[-1] if self._done else None

    def line(self, number: int) -> str:
        """A line without its end."""
        return self._document.line(number)

    @property
    def before(self) -> str:
        """The text before the cursor on its line."""
        return self.line(self.cursor.line)[: self.cursor.character]

    @property
    def after(self) -> str:
        """The text after the cursor on its line."""
        return self.line(self.cursor.line)[self.cursor.character :]

    def utf16(self, position: Position) -> Position:
        """`position` in UTF-16 code units."""
        return Position(position.line, code_units(self.line(position.line)[: position.character], "utf-16"))

    def insert(self, text: str, *, over: int = 0, typed: bool = False) -> None:
        """Insert `text` at the cursor, replacing `over` characters after it on its line."""
        end = Position(self.cursor.line, self.cursor.character + over)
        self._replace(Range(self.cursor, end), _LINE_END.sub(self._line_end, text), typed=typed)

    def new_line(self) -> str:
        """What `enter` inserts: a line end and the indentation of the new line."""
        return "\n" + indentation_below(self.before)

    def enter(self) -> None:
        """Begin a new line with the right indentation; spaces on an empty line are removed."""
        line, column = self.cursor.line, self.cursor.character
        start = Position(line, column if self.line(line).strip() else 0)
        text = self.new_line().replace("\n", self._line_end)
        self._replace(Range(start, self.cursor), text, typed=True)

    def indent(self) -> None:
        """Insert a tab, or spaces up to the next tab stop, as the file is indented."""
        room = TAB_WIDTH - width(self.before) % TAB_WIDTH
        self.insert("\t" if self._indents_with_tabs else " " * room)

    def backspace(self) -> None:
        """Delete the character before the cursor, or one level of indentation."""
        before = self.before
        start = Position(self.cursor.line, step_left(self.line(self.cursor.line), len(before)))
        if before and not before.strip(" "):
            start = Position(self.cursor.line, (len(before) - 1) // TAB_WIDTH * TAB_WIDTH)
        elif not before and self.cursor.line:
            start = self._end_of(self.cursor.line - 1)
        self._delete(Range(start, self.cursor))

    def delete(self) -> None:
        """Delete the character after the cursor."""
        self._delete(Range(self.cursor, self._right_of(self.cursor)))

    def undo(self) -> bool:
        """Undo the last step; False if there is none."""
        if not self._done:
            return False
        step = self._done.pop()
        self._undone.append(step)
        self._replace_at(step.start, step.inserted, step.removed)
        self.cursor = step.cursor
        return True

    def redo(self) -> bool:
        """Redo the step undone last; False if there is none."""
        if not self._undone:
            return False
        step = self._undone.pop()
        self._done.append(step)
        self._replace_at(step.start, step.removed, step.inserted)
        return True

    def move_to(self, position: Position) -> None:
        """Move the cursor to `position`, clamped to the text."""
        line = min(max(position.line, 0), self.line_count - 1)
        self.cursor = Position(line, min(max(position.character, 0), len(self.line(line))))
        self._goal = None

    def move_left(self) -> None:
        """Move a character to the left, or to the end of the line above."""
        line, column = self.cursor.line, self.cursor.character
        if column:
            self.move_to(Position(line, step_left(self.line(line), column)))
        elif line:
            self.move_to(self._end_of(line - 1))

    def move_right(self) -> None:
        """Move a character to the right, or to the start of the line below."""
        self.move_to(self._right_of(self.cursor))

    def move_word_left(self) -> None:
        """Move to the start of the word before the cursor."""
        line, column = self.cursor.line, self.cursor.character
        if column:
            self.move_to(Position(line, word_left(self.line(line), column)))
        else:
            self.move_left()

    def move_word_right(self) -> None:
        """Move to the end of the word after the cursor."""
        line, column = self.cursor.line, self.cursor.character
        if self.after:
            self.move_to(Position(line, word_right(self.line(line), column)))
        else:
            self.move_right()

    def move_vertically(self, lines: int) -> None:
        """Move down by `lines`, or up; the column is remembered through shorter lines."""
        goal = width(self.before) if self._goal is None else self._goal
        line = min(max(self.cursor.line + lines, 0), self.line_count - 1)
        self.move_to(Position(line, column_at_cell(self.line(line), goal)))
        self._goal = goal

    def move_home(self) -> None:
        """Move to the first character of the line after its indentation, and from there to its start."""
        line = self.line(self.cursor.line)
        indent = len(line) - len(line.lstrip())
        column = indent if self.cursor.character != indent else 0
        self.move_to(Position(self.cursor.line, column))

    def move_end(self) -> None:
        """Move to the end of the line."""
        self.move_to(self._end_of(self.cursor.line))

    def _end_of(self, line: int) -> Position:
        return Position(line, len(self.line(line)))

    def _right_of(self, position: Position) -> Position:
        line, column = position.line, position.character
        if column < len(self.line(line)):
            return Position(line, step_right(self.line(line), column))
        return Position(line + 1, 0) if line + 1 < self.line_count else position

    def _delete(self, where: Range) -> None:
        if where.start != where.end:
            self._replace(where, "", typed=False)

    def _replace(self, where: Range, text: str, *, typed: bool) -> None:
        """Make an edit that can be undone."""
        start, removed = self._document.offset_at(where.start), self._document.text_in(where)
        step = UndoStep(start, removed, text, typed, self.cursor)
        last = self._done[-1] if self._done else None
        joined = last.joined(step) if last is not None and last is not self._saved else None
        self._done[len(self._done) - (joined is not None) :] = [joined or step]
        self._undone.clear()
        self._apply(where, text)

    def _replace_at(self, start: int, old: str, new: str) -> None:
        document = self._document
        self._apply(Range(document.position_at(start), document.position_at(start + len(old))), new)

    def _apply(self, where: Range, text: str) -> None:
        self._edited(Edit(text, Range(self.utf16(where.start), self.utf16(where.end))))
        self.cursor = self._document.replace(text, where)
        self._goal = None
        self.revision += 1
