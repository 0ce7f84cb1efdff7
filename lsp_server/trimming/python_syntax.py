"""Checks with Python's own parser whether a completion breaks the code around it.

Parsing a file of ten thousand lines takes a tenth of a second, so only a region is parsed, in a fraction of a
millisecond: from the statement before the cursor's to the one after it. If that can't be parsed alone (it may
be in a string), the region begins at the function's first line.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lsp_server.trimming.cursor_context import CursorContext
from lsp_server.trimming.indentation import width
from lsp_server.trimming.syntax import CLOSERS

_MAX_CHARACTERS: Final = 10_000  # characters on either side; parsing twice as many takes 2 to 4 ms
_MAX_LINES: Final = 200
_CONTINUES: Final = re.compile(r"(?:else|elif|except|finally|case)\b|[)\]}\"']")
_DEFINITION_STARTS: Final = frozenset("acd@")  # what `_DEFINITION` can begin with
_DEFINITION: Final = re.compile(r"(?:async\s+)?def\s+\w+\s*[\[(]|class\s+\w+\s*[\[(:]|@\w")
_ITEM_ENDS: Final = (",", "(", "[", "{", '"', "'")  # of lines in brackets: adjacent strings are joined
_STATEMENT: Final = re.compile(
    r"@|(?:async|def|class|for|with|from|import|return|raise|if|elif|while|try|assert|del|pass)\b"
)


@dataclass(frozen=True)
class Mistake:
    """A syntax error at offset `at`; if `settled`, no text that follows could make it right."""

    at: int
    settled: bool = False


@dataclass(frozen=True)
class Region:
    """Lines around a cursor to parse alone; one of the `placeholders` may be needed to parse them."""

    before: str
    after: str
    placeholders: tuple[str, ...] = ()

    def mistake(self, text: str, covers: int = 0) -> Mistake | None:
        """The first mistake with `text` at the cursor, in place of `covers` characters."""
        return _mistake(self.before + text + self.after[covers:])

    def is_broken_by(self, mistake: Mistake) -> bool:
        """Whether the `mistake` is before the cursor, so that no completion can parse."""
        line = self.before.rfind("\n") + 1
        end = len(self.before) if self.before[line:].strip() else line
        return mistake.settled and mistake.at < end

    def can_parse(self) -> bool:
        """Whether the region parses as it is, or with a placeholder at the cursor."""
        return any(self.mistake(placeholder) is None for placeholder in ("", *self.placeholders))

    def may_continue(self, text: str, closing: str) -> bool:
        """Whether there is no mistake before the end of `text`; `closing` closes what is open there."""
        source = (self.before + text).rstrip()
        mistake = _mistake(source + closing)
        return mistake is None or mistake.at >= len(source)


def regions(prefix: str, suffix: str, cursor: CursorContext) -> Iterator[Region]:
    """The regions to parse around the cursor, the smaller first; none if they would be too large."""
    above = prefix[: len(prefix) - len(cursor.before)][-_MAX_CHARACTERS:].split("\n")[:-1]
    below = suffix[len(cursor.rest) + 1 :].split("\n", _MAX_LINES)
    level = width(cursor.before)
    if cursor.state.inside is None and not cursor.depth:
        start = _statement_above(above, cursor.before)
        if start is not None:
            yield from _region(above[start:], cursor, below, level)
    start = _definition_above(above, level)
    region = list(_region(above[start:], cursor, below, width(above[start]) if above[start:] else 0))
    yield from region
    outer = cursor.state.brackets[: cursor.depth]
    if cursor.state.inside is None and (not region or any(opener.closed_by == "anyone" for opener in outer)):
        yield from _in_brackets([opener.mark for opener in outer[-1:]] or CLOSERS, above, cursor, below)


def _in_brackets(
    marks: Iterable[str], above: Sequence[str], cursor: CursorContext, below: Sequence[str]
) -> Iterator[Region]:
    """The items before and after the cursor's, in brackets of their own: the whole table may be long.

    One region for each of the `marks` that may open it; none if there are statements instead.
    """
    level = width(cursor.before)
    items = (number for number in range(len(above) - 1, -1, -1) if width(above[number]) <= level)
    start = next((number for number in items if above[number].strip()), None)
    if start is None or width(above[start]) < level:
        start = len(above)  # the first item
    elif _STATEMENT.match(above[start].lstrip()) or not _last(above).endswith(_ITEM_ENDS):
        return
    end = seen = 0
    while end < len(below) and seen < 2:
        line = below[end]
        if line.strip() and (width(line) < level or line.lstrip()[0] in CLOSERS.values()):
            break
        seen += line.strip() != "" and width(line) == level
        end += seen < 2
    for mark in marks:
        before = "\n".join(["f" * (mark == "(") + mark, *above[start:], cursor.before])
        after = "\n".join([cursor.rest, *below[:end], CLOSERS[mark]])
        yield Region(before, after, _placeholders(cursor))


def _last(lines: Sequence[str]) -> str:
    """The last of `lines` with code in it, stripped."""
    code = (line.strip() for line in reversed(lines))
    return next((line for line in code if line and not line.startswith("#")), "")


def _statement_above(above: Sequence[str], before: str) -> int | None:
    """The last line that begins a statement which the cursor's line continues or follows."""
    level = _level(width(before), before.strip())
    for number in range(len(above) - 1, -1, -1):
        line = above[number].strip()
        if line and not line.startswith("#") and width(above[number]) <= level:
            if not _CONTINUES.match(line):
                return number
            level = _level(width(above[number]), line)
    return None


def _level(indented: int, line: str) -> int:
    """The largest indentation of a statement that `line` may continue; a `case` is inside its `match`."""
    return indented - 1 if re.match(r"case\b", line) else indented


def _definition_above(above: Sequence[str], level: int) -> int:
    """The line where the function or class around a line indented by `level` begins, or else 0."""
    for number in range(len(above) - 1, -1, -1):
        line = above[number].lstrip()
        if _begins_definition(line) and width(above[number]) < max(level, 1):
            return number
    return 0


def _begins_definition(line: str) -> bool:
    return line[:1] in _DEFINITION_STARTS and _DEFINITION.match(line) is not None


def _region(
    above: Sequence[str], cursor: CursorContext, below: Sequence[str], level: int
) -> Iterator[Region]:
    """The lines `above`, the cursor's, and those `below` up to the second statement at `level`."""
    first = next((line for line in above if line.strip()), cursor.before)
    before = "\n".join(["if 1:"] * (width(first) > 0) + [*above, cursor.before])
    end = _end(below, width(first), level)
    after = "\n".join([cursor.rest, *below[:end], *[""] * (end < len(below))])
    if len(before) <= _MAX_CHARACTERS and len(after) <= _MAX_CHARACTERS:
        yield Region(before, after, _placeholders(cursor))


def _end(below: Sequence[str], first: int, level: int) -> int:
    """How many lines `below` the cursor belong to a region that begins indented by `first`.

    It ends before the second statement that is at `level` or defines something. If the lines, which are only
    a window on the file, do not reach it, the region ends before the first one, or before another statement.
    """
    ends: list[int] = []
    others: list[tuple[int, int]] = []  # indentation and negative line number
    size = 0
    previous = ""
    for number, text in enumerate(below):
        line = text.strip()
        size += len(text)
        if not line or line.startswith("#"):
            continue
        can_end = not (_CONTINUES.match(line) or previous.startswith("@") or previous.endswith(":"))
        previous = line
        if not can_end:
            continue
        indented = width(text)
        if indented < first:
            return number
        if indented <= level or _begins_definition(line):
            ends.append(number)
        others.append((indented, -number))
        if len(ends) == 2 or (ends and size > _MAX_CHARACTERS // 2):
            return ends[-1]
    if not below or not below[-1]:
        return len(below)  # the file ends, as files do, with a line end
    return ends[0] if ends else -min(others, default=(0, -len(below)))[1]


def _placeholders(cursor: CursorContext) -> tuple[str, ...]:
    """Texts that may be missing at the cursor: a name, an item, a statement, or the body of a block."""
    line = cursor.before.strip()
    if cursor.state.inside is not None:
        return ()
    if cursor.state.brackets:
        return ("_", "_,")
    if not line:
        return ("pass", "if _:")
    blank = cursor.before[: len(cursor.before) - len(cursor.before.lstrip())]
    return (f"\n{blank} pass",) if line.endswith(":") else ("_",)


def _mistake(source: str) -> Mistake | None:
    """The first mistake in `source`; None if it parses.

    For most mistakes Python has a message of their own, and may have read further to find them. Only of the
    last token it has read it says "invalid syntax"; and it checks a line's indentation before the rest of it.
    So these two are settled.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in the user's strings
        try:
            ast.parse(source)
        except SyntaxError as error:
            lines = source.split("\n")[: max(0, (error.lineno or 1) - 1)]
            at = sum(map(len, lines)) + len(lines) + max(0, (error.offset or 1) - 1)
            return Mistake(at, isinstance(error, IndentationError) or error.msg == "invalid syntax")
        except (ValueError, RecursionError, MemoryError):
            return Mistake(0)
    return None
