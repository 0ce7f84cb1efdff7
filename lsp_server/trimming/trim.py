"""Trims a completion while it is generated, line by line, and decides when it is complete.

Pure functions of text. While the model generates, the text that is shown only grows: what may have to be
dropped is held back until that is decided. In the end it may become shorter, if it breaks off or breaks the
code around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from lsp_server.trimming.chat import ChatFilter
from lsp_server.trimming.completeness import complete_line, complete_part
from lsp_server.trimming.control_spellings import ControlSpellings
from lsp_server.trimming.cursor_context import BLANK, OPENERS, CursorContext, Extent
from lsp_server.trimming.end_blocks import closes_block, goes_on, may_belong, opens_block
from lsp_server.trimming.indentation import Style, width
from lsp_server.trimming.overlap import Piece, certain_part
from lsp_server.trimming.own_line import OwnLine
from lsp_server.trimming.python_syntax import Region, regions
from lsp_server.trimming.repetition import LoopDetector, RepeatedLines
from lsp_server.trimming.unprintable import until_unprintable

__all__ = ["Piece", "Trim", "trim"]

_CLOSERS: Final = frozenset(")]}")
_CLOSING_MARKS: Final = frozenset(")]}\"'`")  # that end brackets and strings
_BEFORE_DECLARATION: Final = ("@", "#", "//", "/*", "*", "--")
_MAX_LINES_BACK: Final = 50
_DECLARATIONS: Final = (
    *("def ", "async def ", "class ", "@", "func ", "fn ", "pub ", "impl ", "struct ", "enum ", "interface "),
    *("function ", "async function ", "export "),
)


class Trim:
    """Trims the completion between `prefix` and `suffix`; `language` is the LSP id.

    It is one line if text follows the cursor on its line, and in comments and strings. At a line's end it is
    the rest of the statement. On a blank line, or where a block opens, it ends where it leaves the cursor's
    block, begins another paragraph or declaration, reaches the line below the cursor, or repeats itself. It
    always ends before an unprintable character that the document does not have.

    `shown` is the text so far, which replaces `covers` characters to the right of the cursor. `done` says
    that nothing will be added, whatever else the model generates.
    """

    def __init__(self, prefix: str, suffix: str, *, language: str = "", multiline: bool = True) -> None:
        self.shown = ""
        self.covers = 0
        self.done = False
        self._prefix, self._suffix, self._language = prefix, suffix, language
        self._cursor = CursorContext.between(prefix, suffix, language)
        self._one_line = not multiline
        self._extent: Extent = self._cursor.extent if multiline else "line"
        self._on_line = bool(self._cursor.before.strip())  # there is text before the cursor on its line
        self._indent = _statement_indent(prefix) if self._on_line else width(self._cursor.before)
        self._own_line: OwnLine | None = None  # reads on after the first line, which may stand alone
        self._ends_by_indentation = False  # rather than by brackets
        self._lines: list[str] = []
        self._on_first = True  # the current line is the cursor's
        self._blank_lines: list[str] = []
        self._partial = ""
        self._state = self._cursor.state  # at the start of the current line
        self._broken_off = False  # we ended it within a statement
        self._repeated = RepeatedLines(self._cursor.above, self._cursor.below)
        self._loop = LoopDetector()
        self._control = ControlSpellings(prefix, suffix, language)
        self._chat = ChatFilter(prefix, suffix, language)

    def feed(self, text: str) -> str:
        """Add the completion's next piece; returns the text to show now."""
        if self.done:
            return self.shown
        printable = until_unprintable(text, self._prefix, self._suffix)
        self._take(self._control.feed(printable.replace("\r", "")))
        if self.done:
            return self._end(self._broken_off)
        if self._control.found or len(printable) < len(text):  # what follows is not worth waiting for
            return self.finish()
        return self._show(certain_part(self._visible(), self._cursor))

    def whole(self) -> Piece:
        """The complete part of the text so far: what `finish(cut=True)` would give."""
        if self.done:
            return Piece(self.shown, self.covers)
        return self._best()

    def finish(self, *, cut: bool = False) -> str:
        """The completion has ended, or was `cut` off; returns the final text."""
        if self.done:
            return self.shown
        if cut:
            self.done = True
            return self._show(self._best())
        self._take(self._control.finish())
        if self._own_line is not None:
            self._own_line.finish()
        elif self._partial:
            self._end_line()
        self.done = True
        return self._end(self._broken_off)

    def _take(self, text: str) -> None:
        """Take more of the completion, as far as it goes."""
        for number, piece in enumerate(text.split("\n")):
            if number and not self.done:
                self._end_line(may_be_own=self._extent == "line" and not self._one_line)
            if not self.done:
                self._grow_line(piece)

    def _end(self, broken_off: bool) -> str:
        """Show the complete part of all lines."""
        if self._own_line is None:
            return self._show(self._whole("\n".join(self._lines), cut=broken_off))
        alone = self._own_line.decided
        return self._show(
            complete_line(self._lines[0], self._cursor, self._regions()) if alone else Piece("")
        )

    def _best(self) -> Piece:
        """The complete part of what there is, if it is cut off here."""
        return Piece("") if self._own_line is not None else self._whole(self._visible(), cut=True)

    def _whole(self, text: str, *, cut: bool) -> Piece:
        return complete_part(text, self._cursor, self._regions(), cut=cut, header=self._one_line)

    def _regions(self) -> Iterator[Region] | None:
        return regions(self._prefix, self._suffix, self._cursor) if self._language == "python" else None

    def _show(self, piece: Piece) -> str:
        self.shown, self.covers = piece.text, piece.covers
        return self.shown

    def _grow_line(self, piece: str) -> None:
        if self._own_line is not None:
            self._own_line.feed(piece)
            self.done = self._own_line.decided is not None
            return
        if self._state.inside is None and self._chat.rejects(self._partial + piece):
            self._partial = ""
            self.done = True
            return
        room = self._loop.feed(piece)
        self._partial = (self._partial + piece)[:room]
        if not self._on_first and self._leaves_block(self._indented(self._partial)):
            self._partial = ""
            self.done = True
            return
        stray = None
        if not _CLOSING_MARKS.isdisjoint(piece):
            stray = self._cursor.syntax.scan(self._partial, self._state).stray
        if room is not None or stray is not None:
            kept = len(self._lines)
            self._partial = self._partial[:stray]
            self._end_line()
            self._broken_off = len(self._lines) > kept and (room is not None or self._state.opened > 0)
            self.done = True

    def _end_line(self, *, may_be_own: bool = False) -> None:
        """The current line has ended: keep it, or end the completion before it.

        Where it `may_be_own`, what follows decides.
        """
        if self._own_line is not None:
            self._own_line.end_line()
            self.done = self._own_line.decided is not None
            return
        line, whole_line = self._indented(self._partial), self._whole_line(self._indented(self._partial))
        first, self._on_first, self._partial = self._on_first, False, ""
        self._loop = LoopDetector()
        if not first and not line.strip():
            self._blank_lines.append(line)
            return
        if self._ends_by_indentation and self._may_leave(line) and not (goes_on(line) or closes_block(line)):
            self.done = True
            return
        if first and line.strip() and not self._on_line:
            self._indent = width(whole_line)
        if self._repeated.contains(whole_line):
            if line.strip().startswith("@"):  # the next line tells what it decorates
                self._blank_lines.append(line)
                self._repeated.skip_line_below()
            else:
                self.done = True
            return
        scan = self._cursor.syntax.scan(line + "\n", self._state)
        self._state = scan.state
        self._lines += [*self._blank_lines, line]
        self._blank_lines = []
        self._repeated.add(whole_line)
        if may_be_own and not self._state.opened and OwnLine.may_be(line, self._cursor):
            self._own_line = OwnLine(self._cursor)
            return
        self.done = not self._continues(scan.masked.rstrip(BLANK), first)

    def _continues(self, line: str, first: bool) -> bool:
        """Whether another line may follow `line`, whose comments and strings are masked."""
        if self._extent == "line":
            self._broken_off = self._state.opened > 0
            return False
        if not self._on_line or self._state.opened:
            return True
        if self._ends_by_indentation:
            return width(line) > self._indent or (self._cursor.end_blocks and goes_on(line))
        brackets = self._state.brackets[self._cursor.depth :]
        if self._extent == "block" if first and not line else self._opens_block(line, first, bool(brackets)):
            self._ends_by_indentation = True
            return True
        return bool(brackets) and (brackets[-1].closed_by != "rest" or line.endswith((",", *OPENERS)))

    def _opens_block(self, line: str, first: bool, in_brackets: bool) -> bool:
        """Whether `line`, whose comments and strings are masked, opens a block that indentation ends."""
        if self._cursor.end_blocks:
            return opens_block(self._cursor.masked + line if first else line)
        return line.endswith(":") and not in_brackets

    def _visible(self) -> str:
        """The part of the text so far that will be kept whatever follows."""
        line = self._indented(self._partial)
        if (
            not line.strip()
            or self._repeated.may_contain(self._whole_line(line))
            or self._may_leave(line)
            or (self._state.inside is None and self._chat.may_reject(line))
        ):
            return "".join(f"{line}\n" for line in self._lines)
        return "\n".join([*self._lines, *self._blank_lines, line[: len(line) - self._loop.held]])

    def _leaves_block(self, line: str) -> bool:
        """Whether `line`, which may be incomplete, is outside the cursor's block."""
        body = line.strip()
        if not body or self._state.opened:
            return False
        if self._on_line:
            closes = width(line) == self._indent and (body[0] in _CLOSERS or self._is_in_end_block(body))
            return self._ends_by_indentation and width(line) <= self._indent and not closes
        return width(line) < self._indent or (
            width(line) == self._indent and (bool(self._blank_lines) or self._declares(body))
        )

    def _declares(self, body: str) -> bool:
        """Whether a line begins a declaration, other than one after a decorator or comment."""
        return body.startswith(_DECLARATIONS) and not self._previous().startswith(_BEFORE_DECLARATION)

    def _previous(self) -> str:
        """The line before the current one."""
        return (["", *self._lines, *self._blank_lines])[-1].strip()

    def _is_in_end_block(self, body: str) -> bool:
        """Whether a line that begins with `body` may belong to a block that a word like ``end`` closes."""
        return self._cursor.end_blocks and (goes_on(body) or closes_block(body) or may_belong(body))

    def _may_leave(self, line: str) -> bool:
        """Whether a line that begins with `line` may turn out to be outside the block, or to declare."""
        if self._on_first or width(line) != self._indent:
            return False
        if self._on_line:
            return self._ends_by_indentation and self._cursor.end_blocks and may_belong(line)
        return any(declaration.startswith(line.strip()) for declaration in _DECLARATIONS)

    def _indented(self, line: str) -> str:
        """`line`, indented in the file's style."""
        cursor = self._cursor
        if not self._on_first:
            return self._style.applied(line)
        if self._on_line and cursor.before[-1].isspace():  # the user has typed that space
            own = len(line) - len(line.lstrip(" "))
            return line[own:] if cursor.state.inside is None or own == 1 else line
        if self._on_line or cursor.state.inside is not None:
            return line
        return self._style.first_line(line, cursor.before, cursor.above, aligned=cursor.depth > 0)

    def _whole_line(self, line: str) -> str:
        """`line` with the text before the cursor, if it is the cursor's line."""
        return self._cursor.before + line if self._on_first else line

    @cached_property
    def _style(self) -> Style:
        return Style.of([*self._prefix.split("\n"), *self._suffix.split("\n")])


def trim(text: str, prefix: str, suffix: str, *, language: str = "", multiline: bool = True) -> str:
    """Trim the completion `text` between `prefix` and `suffix`."""
    trimming = Trim(prefix, suffix, language=language, multiline=multiline)
    trimming.feed(text)
    return trimming.finish()


def _statement_indent(prefix: str) -> int:
    """The indentation of the line that opens the brackets which the last line closes."""
    depth = 0
    line = ""
    for line in reversed(prefix.split("\n")[-_MAX_LINES_BACK:]):
        depth += sum(line.count(closer) for closer in ")]}") - sum(line.count(opener) for opener in "([{")
        if depth <= 0:
            break
    return width(line)
