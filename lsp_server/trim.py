"""Where a completion ends, and what of it is not shown.

session ▶ **trim**: text in, text out, nothing else. A `Trim` takes a completion piece by piece while the
model writes it. What it shows only ever grows, and in the end it is what would have been shown had the
whole text come at once: text that may yet have to be dropped is held back until that is decided.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from lsp_server.overlap import doubled, possible_overlap, without_overlap
from lsp_server.repetition import LoopDetector

_OPENERS: Final = ("(", "[", "{", ":")
_CLOSERS: Final = frozenset(")]}")
_HARMLESS: Final = frozenset(")]}>\"'`,;:")  # what editors close by themselves, and what follows it
_LINES_LOOKED_BACK: Final = 50


class Trim:
    """Trims the completion that stands between `prefix` and `suffix`.

    It is one line, except where a block may begin: on a blank line, or after something that opens one, with
    nothing but closing brackets and quotes to the right of the cursor. Such a completion goes on until it
    leaves the cursor's block, comes to the line that follows the cursor anyway, or repeats itself.

    `shown` is the text so far and `done` says that nothing will be added, whatever else the model writes.
    """

    def __init__(self, prefix: str, suffix: str, *, multiline: bool = True) -> None:
        self.shown = ""
        self.done = False
        self._before = prefix[prefix.rfind("\n") + 1 :]
        self._rest, _, below = suffix.partition("\n")
        self._next_line = next((line.rstrip() for line in below.split("\n") if line.strip()), "")
        self._multiline = multiline and multiline_fits(self._before, self._rest)
        self._in_block = bool(self._before.strip())  # lines must be indented more than the cursor's line
        self._indent = _statement_indent(prefix) if self._in_block else _width(self._before)
        self._lines: list[str] = []
        self._blank_lines: list[str] = []
        self._partial = ""
        self._seen: Counter[str] = Counter()
        self._loop = LoopDetector()

    def feed(self, text: str) -> str:
        """Take the completion's next piece; returns what is shown now."""
        for number, piece in enumerate(text.replace("\r", "").split("\n")):
            if number and not self.done:
                self._end_line()
            if not self.done:
                self._grow_line(piece)
        if not self.done:
            self.shown = possible_overlap(self._visible(), self._rest)
            return self.shown
        return self.finish()

    def finish(self) -> str:
        """The completion has ended; returns what is shown in the end."""
        if not self.done and self._partial:
            self._end_line()
        self.done = True
        text = without_overlap("\n".join(self._lines), self._before, self._rest)
        self.shown = text if text.strip() else ""
        return self.shown

    def _grow_line(self, piece: str) -> None:
        if not self._lines and not self._partial and self._in_block and self._before[-1].isspace():
            piece = piece.lstrip(" ")  # the user has typed that space
        room = self._loop.feed(piece)
        self._partial += piece
        if room is not None:
            self._partial = self._partial[:room]
            self._end_line()
            self.done = True
        elif self._lines and self._leaves_block(self._partial):
            self._partial = ""
            self.done = True

    def _end_line(self) -> None:
        """The current line is whole: keep it, or end the completion before it."""
        line, self._partial = self._partial, ""
        self._loop = LoopDetector()
        if self._lines and not line.strip():
            self._blank_lines.append(line)
            return
        if self._repeats(line):
            self.done = True
            return
        self._keep(line)

    def _keep(self, line: str) -> None:
        first = not self._lines
        self._lines += [*self._blank_lines, line]
        self._blank_lines = []
        self._seen[line.strip()] += 1
        if first and line.strip() and not self._in_block:
            self._indent = _width(self._before + line)
        closes_block = not first and self._in_block and _width(line) <= self._indent
        says_rest = doubled("\n".join(self._lines), self._before, self._rest) > 0
        self.done = not self._multiline or closes_block or says_rest

    def _visible(self) -> str:
        """What of the text so far is sure to be kept, whatever follows on its lines."""
        if not self._partial.strip() or self._may_repeat(self._partial):
            return "\n".join(self._lines)
        line = self._partial[: len(self._partial) - self._loop.held]
        return "\n".join([*self._lines, *self._blank_lines, line])

    def _leaves_block(self, line: str) -> bool:
        """Whether `line`, of which the first word may be all there is yet, is outside the cursor's block."""
        body = line.strip()
        if not body:
            return False
        width = _width(line)
        if self._in_block:
            closes = width == self._indent and body[0] in _CLOSERS
            return width <= self._indent and not closes
        return width < self._indent or (bool(self._blank_lines) and width == self._indent)

    def _repeats(self, line: str) -> bool:
        """Whether `line` says again what the line below the cursor, or the completion itself, says."""
        if self._next_line and self._whole(line).rstrip() == self._next_line:
            return True
        body = line.strip()
        return bool(self._lines) and body in self._tired_of()

    def _may_repeat(self, partial: str) -> bool:
        """Whether a line that begins with `partial` may turn out to be a repetition."""
        if self._next_line.startswith(self._whole(partial).rstrip()):
            return True
        body = partial.strip()
        return bool(self._lines) and any(line.startswith(body) for line in self._tired_of())

    def _tired_of(self) -> set[str]:
        """Lines that would be a repetition now: the one just written, and those written twice already."""
        lines = {line for line, times in self._seen.items() if times > 1} | {self._lines[-1].strip()}
        return {line for line in lines if any(map(str.isalnum, line))}

    def _whole(self, line: str) -> str:
        """`line` with what stands before the cursor, if it is the cursor's line."""
        return line if self._lines else self._before + line


def trim(text: str, prefix: str, suffix: str, *, multiline: bool = True) -> str:
    """What is shown of the completion `text` between `prefix` and `suffix`."""
    trimming = Trim(prefix, suffix, multiline=multiline)
    trimming.feed(text)
    return trimming.finish()


def multiline_fits(before: str, rest: str) -> bool:
    """Whether more than one line makes sense between `before` and `rest`, the two parts of a line."""
    if any(not (character.isspace() or character in _HARMLESS) for character in rest):
        return False
    before = before.rstrip()
    return not before or before.endswith(_OPENERS)


def _statement_indent(prefix: str) -> int:
    """The indentation of the line where the brackets that are closed on the last line were opened."""
    depth = 0
    line = ""
    for line in reversed(prefix.split("\n")[-_LINES_LOOKED_BACK:]):
        depth += sum(line.count(closer) for closer in ")]}") - sum(line.count(opener) for opener in "([{")
        if depth <= 0:
            break
    return _width(line)


def _width(line: str) -> int:
    """How far `line` is indented, in columns."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(4))
