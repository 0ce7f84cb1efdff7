"""Reads a completion line by line, shows what is sure to be kept of it, and knows when there is enough.

session ▶ **trim** ▶ trimming: text in, text out, nothing else. What is shown only ever grows while the model
writes: text that may yet have to be dropped is held back until that is decided. In the end it may become
shorter, where the text breaks off or breaks what stands around it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from lsp_server.trimming import (
    BLANK,
    OPENERS,
    Cursor,
    LineEchoes,
    LoopDetector,
    Piece,
    Room,
    Style,
    certain,
    regions,
    until_unprintable,
    whole,
    width,
)

__all__ = ["Piece", "Trim", "trim"]

_CLOSERS: Final = frozenset(")]}")
_ENDS: Final = frozenset(")]}\"'`")  # of brackets and strings
_PRELUDES: Final = ("@", "#", "//", "/*", "*", "--")
_LINES_LOOKED_BACK: Final = 50
_DECLARATIONS: Final = (
    *("def ", "async def ", "class ", "@", "func ", "fn ", "pub ", "impl ", "struct ", "enum ", "interface "),
    *("function ", "async function ", "export "),
)


class Trim:
    """Trims the completion that stands between `prefix` and `suffix`, in `language` as LSP names it.

    It is one line where something follows on the cursor's line, and in comments and strings. At a line's end
    it is the rest of the statement. On a blank line, or after what opens a block, it goes on until it leaves
    the cursor's block, begins another paragraph or declaration, comes to the line that follows the cursor
    anyway, or repeats itself. Wherever it is, it ends before an unprintable character that the document does
    not have.

    `shown` is the text so far, which takes the place of `covers` characters right of the cursor. `done` says
    that nothing will be added, whatever else the model writes.
    """

    def __init__(self, prefix: str, suffix: str, *, language: str = "", multiline: bool = True) -> None:
        self.shown = ""
        self.covers = 0
        self.done = False
        self._prefix, self._suffix, self._language = prefix, suffix, language
        self._cursor = Cursor.between(prefix, suffix, language)
        self._one_line = not multiline
        self._room: Room = self._cursor.room if multiline else "line"
        self._on_line = bool(self._cursor.before.strip())  # it follows something on the cursor's line
        self._indent = _statement_indent(prefix) if self._on_line else width(self._cursor.before)
        self._goes_by_indentation = False  # and not by brackets
        self._lines: list[str] = []
        self._on_first = True  # of the completion's lines, the one that the cursor is on
        self._blank_lines: list[str] = []
        self._partial = ""
        self._nesting = self._cursor.nesting  # where the line that is being written began
        self._broken_off = False  # by us, within a statement
        self._echoes = LineEchoes(self._cursor.above, self._cursor.below)
        self._loop = LoopDetector()

    def feed(self, text: str) -> str:
        """Take the completion's next piece; returns what is shown now."""
        if self.done:
            return self.shown
        printable = until_unprintable(text, self._prefix, self._suffix)
        for number, piece in enumerate(printable.replace("\r", "").split("\n")):
            if number and not self.done:
                self._end_line()
            if not self.done:
                self._grow_line(piece)
        if self.done:
            return self._end(self._broken_off)
        if len(printable) < len(text):  # the model has failed, and stops here for us
            return self.finish()
        return self._show(certain(self._visible(), self._cursor))

    def whole(self) -> Piece:
        """The best whole piece of what has come so far: what `finish` would give, were it cut off here."""
        if self.done:
            return Piece(self.shown, self.covers)
        return self._whole(self._visible(), cut=True)

    def finish(self, *, cut: bool = False) -> str:
        """The completion has ended, or was `cut` off; returns what is shown in the end."""
        if self.done:
            return self.shown
        if cut:
            self.done = True
            return self._show(self._whole(self._visible(), cut=True))
        if self._partial:
            self._end_line()
        self.done = True
        return self._end(self._broken_off)

    def _end(self, broken_off: bool) -> str:
        """All lines are there: show what of them is whole."""
        return self._show(self._whole("\n".join(self._lines), cut=broken_off))

    def _whole(self, text: str, *, cut: bool) -> Piece:
        regions_ = regions(self._prefix, self._suffix, self._cursor) if self._language == "python" else None
        return whole(text, self._cursor, regions_, cut=cut, header=self._one_line)

    def _show(self, piece: Piece) -> str:
        self.shown, self.covers = piece.text, piece.covers
        return self.shown

    def _grow_line(self, piece: str) -> None:
        room = self._loop.feed(piece)
        self._partial = (self._partial + piece)[:room]
        if not self._on_first and self._leaves_block(self._indented(self._partial)):
            self._partial = ""
            self.done = True
            return
        excess = None
        if not _ENDS.isdisjoint(piece):
            excess = self._cursor.syntax.follow(self._partial, self._nesting).excess
        if room is not None or excess is not None:
            kept = len(self._lines)
            self._partial = self._partial[:excess]
            self._end_line()
            self._broken_off = len(self._lines) > kept and (room is not None or self._nesting.opened > 0)
            self.done = True

    def _end_line(self) -> None:
        """The current line is whole: keep it, or end the completion before it."""
        line, whole_line = self._indented(self._partial), self._whole_line(self._indented(self._partial))
        first, self._on_first, self._partial = self._on_first, False, ""
        self._loop = LoopDetector()
        if not first and not line.strip():
            self._blank_lines.append(line)
            return
        if first and line.strip() and not self._on_line:
            self._indent = width(whole_line)
        if self._echoes.has(whole_line):
            if line.strip().startswith("@"):  # of what, the next line will tell
                self._blank_lines.append(line)
                self._echoes.pass_by()
            else:
                self.done = True
            return
        followed = self._cursor.syntax.follow(line + "\n", self._nesting)
        self._nesting = followed.nesting
        self._lines += [*self._blank_lines, line]
        self._blank_lines = []
        self._echoes.add(whole_line)
        self.done = not self._goes_on(followed.masked.rstrip(BLANK), first)

    def _goes_on(self, line: str, first: bool) -> bool:
        """Whether more may follow `line`, whose comments and strings are masked."""
        if self._room == "line":
            self._broken_off = self._nesting.opened > 0
            return False
        if not self._on_line or self._nesting.opened:
            return True
        if self._goes_by_indentation:
            return width(line) > self._indent
        brackets = self._nesting.brackets[self._cursor.depth :]
        opens_block = self._room == "block" if first and not line else line.endswith(":") and not brackets
        if opens_block:
            self._goes_by_indentation = True
            return True
        return bool(brackets) and (brackets[-1].owner != "rest" or line.endswith((",", *OPENERS)))

    def _visible(self) -> str:
        """What of the text so far is sure to be kept, whatever follows on its lines."""
        line = self._indented(self._partial)
        if not line.strip() or self._echoes.may_have(self._whole_line(line)) or self._may_declare(line):
            return "".join(f"{line}\n" for line in self._lines)
        return "\n".join([*self._lines, *self._blank_lines, line[: len(line) - self._loop.held]])

    def _leaves_block(self, line: str) -> bool:
        """Whether `line`, of which the first word may be all there is yet, is outside the cursor's block."""
        body = line.strip()
        if not body or self._nesting.opened:
            return False
        if self._on_line:
            closes = width(line) == self._indent and body[0] in _CLOSERS
            return self._goes_by_indentation and width(line) <= self._indent and not closes
        return width(line) < self._indent or (
            width(line) == self._indent and (bool(self._blank_lines) or self._declares(body))
        )

    def _declares(self, body: str) -> bool:
        """Whether a line begins a declaration of its own, and is not what a decorator or comment is about."""
        return body.startswith(_DECLARATIONS) and not self._previous().startswith(_PRELUDES)

    def _previous(self) -> str:
        """The line before the one that is being written."""
        return (["", *self._lines, *self._blank_lines])[-1].strip()

    def _may_declare(self, line: str) -> bool:
        """Whether a line that begins with `line` may turn out to declare something."""
        if self._on_first or self._on_line or width(line) != self._indent:
            return False
        return any(declaration.startswith(line.strip()) for declaration in _DECLARATIONS)

    def _indented(self, line: str) -> str:
        """`line` as the file indents its lines."""
        cursor = self._cursor
        if not self._on_first:
            return self._style.applied(line)
        if self._on_line and cursor.before[-1].isspace():  # the user has typed that space
            own = len(line) - len(line.lstrip(" "))
            return line[own:] if cursor.nesting.inside is None or own == 1 else line
        if self._on_line or cursor.nesting.inside is not None or cursor.depth:
            return line
        return self._style.first_line(line, cursor.before, cursor.above)

    def _whole_line(self, line: str) -> str:
        """`line` with what stands before the cursor, if it is the cursor's line."""
        return self._cursor.before + line if self._on_first else line

    @cached_property
    def _style(self) -> Style:
        return Style.of([*self._prefix.split("\n"), *self._suffix.split("\n")])


def trim(text: str, prefix: str, suffix: str, *, language: str = "", multiline: bool = True) -> str:
    """What is shown of the completion `text` between `prefix` and `suffix`."""
    trimming = Trim(prefix, suffix, language=language, multiline=multiline)
    trimming.feed(text)
    return trimming.finish()


def _statement_indent(prefix: str) -> int:
    """The indentation of the line where the brackets that are closed on the last line were opened."""
    depth = 0
    line = ""
    for line in reversed(prefix.split("\n")[-_LINES_LOOKED_BACK:]):
        depth += sum(line.count(closer) for closer in ")]}") - sum(line.count(opener) for opener in "([{")
        if depth <= 0:
            break
    return width(line)
