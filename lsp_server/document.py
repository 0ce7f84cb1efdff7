"""An open document: its text, incremental edits, and LSP positions.

The server applies the editor's changes; completions read the text before and after the cursor.

Lines end with ``\\n``, ``\\r\\n`` or ``\\r`` and nothing else: `str.splitlines` also splits at form feeds,
U+2028 and others, after which every later edit would land on the wrong line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]

_CODECS: Final[Mapping[PositionEncoding, str]] = {"utf-8": "utf-8", "utf-16": "utf-16-le"}
_UNIT_BYTES: Final[Mapping[PositionEncoding, int]] = {"utf-8": 1, "utf-16": 2}

_LINE_END: Final = re.compile(r"(\r\n|\n|\r)")


_LONG_LINE: Final = 4096
"""Characters of a line from which on columns are counted from the last one."""


@dataclass(frozen=True, order=True)
class Position:
    """A position as in LSP: `line` from 0, `character` in code units of the document's encoding."""

    line: int
    character: int


@dataclass(frozen=True)
class Range:
    """The text between two positions; `end` is exclusive."""

    start: Position
    end: Position


@dataclass(frozen=True)
class Edit:
    """A replacement of the text at `where`, or of the whole text, by `text`."""

    text: str
    where: Range | None = None


@dataclass(frozen=True)
class Selection:
    """The item selected in an editor's pop-up list: `text` would replace the range `where`."""

    text: str
    where: Range


class Document:
    """A text as a list of lines, each with its line end; the last line has none.

    An edit splices the lines it touches, so its cost does not depend on the document's length. Positions
    are clamped as LSP asks: a character past a line's end means the line's end, a line past the last means
    the end of the text. A position inside a character (between two surrogates, say) means the position
    before that character.
    """

    def __init__(
        self,
        text: str,
        *,
        uri: str = "",
        language: str = "",
        version: int = 0,
        encoding: PositionEncoding = "utf-16",
    ) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.encoding: PositionEncoding = encoding
        self._lines = split_lines(text)
        self._mark = _Mark("", 0, 0)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    @property
    def line_end(self) -> str:
        """What the first line ends with; a line feed if it is the only line."""
        return self._lines[0][len(_without_line_end(self._lines[0])) :] or "\n"

    @property
    def line_count(self) -> int:
        """The number of lines; the empty text has one, and so has what follows the last line end."""
        return len(self._lines)

    def line(self, number: int) -> str:
        """Line `number`, counted from 0, without its line end."""
        return _without_line_end(self._lines[number])

    def replace(self, text: str, where: Range | None = None) -> Position:
        """Replace the text at `where`, or the whole text, by `text`; returns the position of its end."""
        if where is None:
            self._lines = split_lines(text)
            return self._position(len(self._lines) - 1, len(self._lines[-1]))
        first, first_column = self._line_and_column(min(where.start, where.end))
        last, last_column = self._line_and_column(max(where.start, where.end))
        before = self._lines[first][:first_column]
        if first and not first_column and self._lines[first - 1].endswith("\r"):
            # A line feed after this carriage return would form one line end with it.
            first -= 1
            before = self._lines[first]
        rest = self._lines[last][last_column:]
        if first_column and _LINE_END.search(text) is None:
            lines = [before + text + rest]  # to split a line of megabytes takes long
            if self._mark.line is self._lines[first]:
                self._mark = self._mark.moved_to(lines[0], len(before), self.encoding)
        else:
            lines = split_lines(before + text + rest)
            if last + 1 < len(self._lines):
                lines.pop()  # the last one is the next line, which is there already
        self._lines[first : last + 1] = lines
        return self._position_from(first, len(before) + len(text))

    def offset_at(self, position: Position) -> int:
        """The number of characters before `position`."""
        line, column = self._line_and_column(position)
        return sum(map(len, self._lines[:line])) + column

    def position_at(self, offset: int) -> Position:
        """The position after `offset` characters, clamped to the text."""
        return self._position_from(0, max(offset, 0))

    def clamp(self, position: Position) -> Position:
        """`position`, clamped to the text."""
        return self._position(*self._line_and_column(position))

    def text_in(self, where: Range) -> str:
        """The text in a range."""
        (first, start), (last, end) = self._line_and_column(where.start), self._line_and_column(where.end)
        if first == last:
            return self._lines[first][start:end]
        return "".join([self._lines[first][start:], *self._lines[first + 1 : last], self._lines[last][:end]])

    def prefix(self, position: Position, limit: int) -> str:
        """The text before `position`: all of it, or the last `limit` to twice `limit` characters.

        If it is cut, it begins at the start of a line (if there is one near), and at the same one while the
        user types, for another `limit` characters: a window that moved with every key would make the KV cache
        useless.
        """
        number, column = self._line_and_column(position)
        before = sum(map(len, self._lines[:number])) + column
        wanted = before - max(0, before // limit - 1) * limit
        pieces = [self._lines[number][:column]]
        have = column
        while have < wanted:
            number -= 1
            pieces.append(self._lines[number])
            have += len(self._lines[number])
        text = "".join(reversed(pieces))[have - wanted :]
        return text if wanted == before else text[text.find("\n", 0, limit // 2) + 1 :]

    def suffix(self, position: Position, limit: int) -> str:
        """The text after `position`, at most `limit` characters."""
        number, column = self._line_and_column(position)
        pieces = [self._lines[number][column : column + limit]]
        room = limit - len(pieces[0])
        for line in self._lines[number + 1 : number + 1 + room]:
            if room <= 0:
                break
            pieces.append(line[:room])
            room -= len(line)
        return "".join(pieces)

    def rest_of_line(self, position: Position) -> str:
        """The text after `position` on its line, without the line end."""
        number, column = self._line_and_column(position)
        return self.line(number)[column:]

    def word_before(self, position: Position) -> tuple[Position, str]:
        """The start and text of the word, or part of a word, that ends at `position`."""
        number, column = self._line_and_column(position)
        before = self.line(number)[:column]
        start = len(before)
        while start and (before[start - 1].isalnum() or before[start - 1] == "_"):
            start -= 1
        return self._position(number, start), before[start:]

    def _line_and_column(self, position: Position) -> tuple[int, int]:
        """The line and the column in characters of `position`, clamped to the text."""
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        line = self._lines[position.line]
        length = len(line) - _line_end_length(line)
        if length < _LONG_LINE:
            return position.line, column_at(line[:length], position.character, self.encoding)
        if self._mark.line is not line:
            self._mark = _Mark(line, 0, 0)
        column = self._mark.column_at(position.character, self.encoding)
        if column > length:
            return position.line, length
        self._mark = self._mark.moved_to(line, column, self.encoding)
        return position.line, column

    def _position_from(self, number: int, offset: int) -> Position:
        """The position `offset` characters after the start of line `number`."""
        last = len(self._lines) - 1
        while number < last and offset >= len(self._lines[number]):
            offset -= len(self._lines[number])
            number += 1
        return self._position(number, offset)

    def _position(self, number: int, column: int) -> Position:
        line = self._lines[number]
        if self._mark.line is line:
            self._mark = self._mark.moved_to(line, column, self.encoding)
            return Position(number, self._mark.units)
        return Position(number, code_units(line[:column], self.encoding))


@dataclass(frozen=True)
class _Mark:
    """A column of a long line and the code units before it, from which others near it are counted."""

    line: str
    column: int
    units: int

    def moved_to(self, line: str, column: int, encoding: PositionEncoding) -> _Mark:
        """A mark at another column of `line`, which equals this mark's line up to the farther one."""
        if column >= self.column:
            return _Mark(line, column, self.units + code_units(line[self.column : column], encoding))
        return _Mark(line, column, self.units - code_units(self.line[column : self.column], encoding))

    def column_at(self, units: int, encoding: PositionEncoding) -> int:
        """The index of the character of the line that contains code unit `units`."""
        if units >= self.units:
            more = units - self.units
            return self.column + column_at(self.line[self.column : self.column + more], more, encoding)
        start = max(0, self.column - (self.units - units))  # a character takes one unit at least
        piece = self.line[start : self.column]
        return start + column_at(piece, units - self.units + code_units(piece, encoding), encoding)


def code_units(text: str, encoding: PositionEncoding) -> int:
    """How many code units `text` takes."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(_encoded(text, encoding)) // _UNIT_BYTES[encoding]


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their line ends; the last one has none and may be empty."""
    parts = _LINE_END.split(text)
    return [line + end for line, end in zip(parts[::2], parts[1::2], strict=False)] + [parts[-1]]


def _without_line_end(line: str) -> str:
    length = _line_end_length(line)
    return line[:-length] if length else line


def _line_end_length(line: str) -> int:
    return 2 if line.endswith("\r\n") else int(line.endswith(("\n", "\r")))


def column_at(line: str, units: int, encoding: PositionEncoding) -> int:
    """The index of the character of `line` that contains code unit `units`."""
    start = line[:units]  # a character takes one unit at least
    if encoding == "utf-32" or start.isascii():
        return len(start)
    data, end = _encoded(start, encoding), units * _UNIT_BYTES[encoding]
    if end >= len(data):
        return len(start)
    if encoding == "utf-8":
        while data[end] & 0xC0 == 0x80:
            end -= 1
    elif data[end + 1] & 0xFC == 0xDC and end and data[end - 1] & 0xFC == 0xD8:  # between two surrogates
        end -= 2
    return len(data[:end].decode(_CODECS[encoding], "surrogatepass"))


def _encoded(text: str, encoding: PositionEncoding) -> bytes:
    """In C, so that a line of megabytes costs milliseconds."""
    return text.encode(_CODECS[encoding], "surrogatepass")
