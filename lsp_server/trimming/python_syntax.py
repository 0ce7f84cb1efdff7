"""Does Python still parse with a completion put in? Python itself is asked about the lines around the cursor.

wholeness ▶ **python_syntax**. Parsing a file of ten thousand lines takes a tenth of a second, parsing what
matters a fraction of a millisecond: from the statement before the cursor's to the one after it; and if those
lines can't be parsed on their own (they may lie in a string), from the function's first line on.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lsp_server.trimming.cursor import Cursor
from lsp_server.trimming.indentation import width
from lsp_server.trimming.nesting import CLOSERS

_LARGEST: Final = 10_000  # characters on either side; parsing twice as many takes 2 to 4 ms
_MOST_LINES: Final = 200
_CONTINUES: Final = re.compile(r"(?:else|elif|except|finally|case)\b|[)\]}\"']")
_DEFINING: Final = frozenset("acd@")  # what `_DEFINES` can begin with
_DEFINES: Final = re.compile(r"(?:async\s+)?def\s+\w+\s*[\[(]|class\s+\w+\s*[\[(:]|@\w")
_ITEM_ENDS: Final = (",", "(", "[", "{", '"', "'")  # of lines in brackets: strings may be put together
_STATES: Final = re.compile(
    r"@|(?:async|def|class|for|with|from|import|return|raise|if|elif|while|try|assert|del|pass)\b"
)


@dataclass(frozen=True)
class Mistake:
    """So many characters come before it. Where it is `settled`, nothing that may follow mends it."""

    at: int
    settled: bool = False


@dataclass(frozen=True)
class Region:
    """Lines around a cursor that may be parsed alone; `fillers` are texts that may be missing in them."""

    before: str
    after: str
    fillers: tuple[str, ...] = ()

    def mistake(self, text: str, covers: int = 0) -> Mistake | None:
        """What is wrong with `text` at the cursor, in place of `covers` characters."""
        return _mistake(self.before + text + self.after[covers:])

    def is_broken_by(self, mistake: Mistake) -> bool:
        """Whether it is wrong with any text at the cursor, since the `mistake` is before that."""
        line = self.before.rfind("\n") + 1
        end = len(self.before) if self.before[line:].strip() else line
        return mistake.settled and mistake.at < end

    def can_parse(self) -> bool:
        """Whether it is right as it is, or but for a name or a statement that is missing at the cursor."""
        return any(self.mistake(filler) is None for filler in ("", *self.fillers))

    def may_go_on(self, text: str, closing: str) -> bool:
        """Whether up to the end of `text` it is only unfinished; `closing` closes what is open there."""
        source = (self.before + text).rstrip()
        mistake = _mistake(source + closing)
        return mistake is None or mistake.at >= len(source)


def regions(prefix: str, suffix: str, cursor: Cursor) -> Iterator[Region]:
    """What to parse around the cursor, the smaller first; nothing where it would be too large."""
    above = prefix[: len(prefix) - len(cursor.before)][-_LARGEST:].split("\n")[:-1]
    below = suffix[len(cursor.rest) + 1 :].split("\n", _MOST_LINES)
    level = width(cursor.before)
    if cursor.nesting.inside is None and not cursor.depth:
        start = _statement_above(above, cursor.before)
        if start is not None:
            yield from _region(above[start:], cursor, below, level)
    start = _definition_above(above, level)
    region = list(_region(above[start:], cursor, below, width(above[start]) if above[start:] else 0))
    yield from region
    outer = cursor.nesting.brackets[: cursor.depth]
    if cursor.nesting.inside is None and (not region or any(opening.owner == "anyone" for opening in outer)):
        yield from _in_brackets([opening.mark for opening in outer[-1:]] or CLOSERS, above, cursor, below)


def _in_brackets(
    marks: Iterable[str], above: Sequence[str], cursor: Cursor, below: Sequence[str]
) -> Iterator[Region]:
    """The items before and after the cursor's in brackets of their own: the table they are in may be long.

    For each of the `marks` that may open them; nothing where there are statements instead.
    """
    level = width(cursor.before)
    items = (number for number in range(len(above) - 1, -1, -1) if width(above[number]) <= level)
    start = next((number for number in items if above[number].strip()), None)
    if start is None or width(above[start]) < level:
        start = len(above)  # the first item
    elif _STATES.match(above[start].lstrip()) or not _last(above).endswith(_ITEM_ENDS):
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
        yield Region(before, after, _fillers(cursor))


def _last(lines: Sequence[str]) -> str:
    """The last of `lines` that has more than a comment in it, without white space around it."""
    code = (line.strip() for line in reversed(lines))
    return next((line for line in code if line and not line.startswith("#")), "")


def _statement_above(above: Sequence[str], before: str) -> int | None:
    """The last line at which a statement begins that the cursor's may follow on, or is part of."""
    level = _level(width(before), before.strip())
    for number in range(len(above) - 1, -1, -1):
        line = above[number].strip()
        if line and not line.startswith("#") and width(above[number]) <= level:
            if not _CONTINUES.match(line):
                return number
            level = _level(width(above[number]), line)
    return None


def _level(indented: int, line: str) -> int:
    """How far a statement that `line` goes on with may be indented; a `case` is in its `match`."""
    return indented - 1 if re.match(r"case\b", line) else indented


def _definition_above(above: Sequence[str], level: int) -> int:
    """The line at which the function or class around a line indented by `level` begins, or else the first."""
    for number in range(len(above) - 1, -1, -1):
        line = above[number].lstrip()
        if line[:1] in _DEFINING and _DEFINES.match(line) and width(above[number]) < max(level, 1):
            return number
    return 0


def _region(above: Sequence[str], cursor: Cursor, below: Sequence[str], level: int) -> Iterator[Region]:
    """The lines `above`, the cursor's, and those `below` up to the second statement at `level`."""
    first = next((line for line in above if line.strip()), cursor.before)
    before = "\n".join(["if 1:"] * (width(first) > 0) + [*above, cursor.before])
    end = _end(below, width(first), level)
    after = "\n".join([cursor.rest, *below[:end], *[""] * (end < len(below))])
    if len(before) <= _LARGEST and len(after) <= _LARGEST:
        yield Region(before, after, _fillers(cursor))


def _end(below: Sequence[str], first: int, level: int) -> int:
    """How many lines `below` the cursor belong to a region that begins indented by `first`.

    It ends before the second statement that is at `level` or defines something. The lines are a window on the
    file, so where that is not in it the region ends before the first one, or another statement.
    """
    ends: list[int] = []
    others: list[tuple[int, int]] = []  # how far they are indented, and which they are from the end
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
        if indented <= level or (line[0] in _DEFINING and _DEFINES.match(line)):
            ends.append(number)
        others.append((indented, -number))
        if len(ends) == 2 or (ends and size > _LARGEST // 2):
            return ends[-1]
    if not below or not below[-1]:
        return len(below)  # the file ends, as files do, with a line end
    return ends[0] if ends else -min(others, default=(0, -len(below)))[1]


def _fillers(cursor: Cursor) -> tuple[str, ...]:
    """What may be missing at the cursor: a name, an item, a statement, what opens a block, or all of one."""
    line = cursor.before.strip()
    if cursor.nesting.inside is not None:
        return ()
    if cursor.nesting.brackets:
        return ("_", "_,")
    if not line:
        return ("pass", "if _:")
    blank = cursor.before[: len(cursor.before) - len(cursor.before.lstrip())]
    return (f"\n{blank} pass",) if line.endswith(":") else ("_",)


def _mistake(source: str) -> Mistake | None:
    """The first mistake in `source`; None where there is none.

    Python has a name for most mistakes, and may have read on to find it. It has none for those at the last
    word that it has read, so of these it says only that the syntax is invalid; and indentation is looked at
    before anything that follows it.
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
