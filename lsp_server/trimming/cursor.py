"""What stands around the cursor, as far as trimming asks.

trim ▶ **cursor** ▶ nesting. The texts are a window on the document, so what is open at the cursor is
looked for near by only: in Python from the last function or class on, elsewhere within some thousand
characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Final, Literal

from lsp_server.trimming.nesting import CLOSERS, COMMENT, Nesting, Opening, Syntax, syntax_of, unopened

Room = Literal["line", "statement", "block"]
"""What fits at a cursor: a single line, the rest of a statement, or a block of lines."""

BLANK: Final = " \t\n" + COMMENT
OPENERS: Final = ("(", "[", "{", ":")
_HARMLESS: Final = frozenset(")]}>\"'`,;:")  # what editors close by themselves, and what follows it
_WINDOW: Final = 8_000
_LINES_LOOKED_AT: Final = 50
_LINES_KEPT: Final = 3
_DEFINITION: Final = re.compile(
    r"^[ \t]*(?:async[ \t]+)?(?:def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[:(])", re.MULTILINE
)


@dataclass(frozen=True)
class Cursor:
    """The cursor's line, `before` and `rest`, and the nearest lines `above` and `below` that are not blank.

    `nesting` is what is open there and who closes it; the first `depth` brackets were open when the line
    began, and `masked` is `before` without its strings and comments. `auto_closed` says that the rest of the
    line is at most what editors close by themselves, which a completion may write over.
    """

    before: str
    masked: str
    rest: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    syntax: Syntax
    nesting: Nesting
    depth: int
    auto_closed: bool

    @classmethod
    def between(cls, prefix: str, suffix: str, language: str) -> Cursor:
        """The cursor between two texts."""
        syntax = syntax_of(language)
        start = _start_of_window(prefix, language)
        line = max(start, prefix.rfind("\n") + 1)
        rest, _, below = suffix.partition("\n")
        auto_closed = all(character.isspace() or character in _HARMLESS for character in rest)
        at_line = syntax.follow(prefix[start:line]).nesting
        followed = syntax.follow(prefix[line:], at_line)
        return cls(
            before=prefix[line:],
            masked=followed.masked,
            rest=rest,
            above=_not_blank(reversed(prefix[:line].split("\n")[-_LINES_LOOKED_AT:]))[::-1],
            below=_not_blank(iter(below.split("\n", _LINES_LOOKED_AT)[:_LINES_LOOKED_AT])),
            syntax=syntax,
            nesting=_owned(
                followed.nesting, syntax, _near(suffix, language), len(rest) if auto_closed else 0
            ),
            depth=len(at_line.brackets),
            auto_closed=auto_closed,
        )

    @property
    def opens_block(self) -> bool:
        """Whether what stands before the cursor opens a block, or a list of lines in brackets."""
        code = self.masked.rstrip(BLANK)
        return code.endswith(OPENERS) and not (code.endswith(":") and len(self.nesting.brackets) > self.depth)

    @property
    def room(self) -> Room:
        """How much fits."""
        if not self.auto_closed:
            return "line"
        if self.opens_block:
            return "block"
        if self.nesting.inside is not None:
            return "line"
        return "statement" if self.before.strip() else "block"


def _start_of_window(prefix: str, language: str) -> int:
    """The start of a line from which on brackets are followed; in no string, as far as can be told."""
    start = prefix.rfind("\n", 0, len(prefix) - _WINDOW) + 1 if len(prefix) > _WINDOW else 0
    if language == "python":
        for match in _DEFINITION.finditer(prefix, start):
            start = match.start()
    return start


def _near(suffix: str, language: str) -> str:
    """As much of `suffix` as can close what is open before it."""
    below = suffix.find("\n")
    definition = _DEFINITION.search(suffix, below + 1) if language == "python" and below >= 0 else None
    return suffix[: definition.start() if definition else _WINDOW]


def _not_blank(lines: Iterator[str]) -> tuple[str, ...]:
    """The first few of `lines` that are not blank."""
    return tuple(islice((line.rstrip() for line in lines if line.strip()), _LINES_KEPT))


def _owned(nesting: Nesting, syntax: Syntax, suffix: str, own: int) -> Nesting:
    """`nesting` with who closes what; `suffix` follows, whose first `own` characters an editor wrote."""

    def closed(opening: Opening, start: int, end: int) -> Opening:
        return replace(opening, owner="rest" if start < own else "others", rest_end=end)

    inside = nesting.inside
    masked = syntax.mask(suffix, inside)
    if inside is not None:
        if masked.ended is not None and "\n" not in suffix[: masked.ended]:
            inside = closed(inside, masked.ended - len(inside.mark), masked.ended)
        else:  # further down another one may begin
            inside = replace(inside, owner="anyone")
            masked = syntax.mask(suffix[:own])
    brackets = [replace(bracket, owner="anyone") for bracket in nesting.brackets]
    top = len(brackets)
    for closer in unopened(masked.text):
        while top and CLOSERS[brackets[top - 1].mark] != closer[0]:
            top -= 1
        if not top:
            break
        top -= 1
        brackets[top] = closed(brackets[top], closer.start(), closer.end())
    # Of like brackets that follow one another, those that nothing closes yet are taken for the innermost.
    runs = (list(run) for _, run in groupby(brackets, key=lambda bracket: bracket.mark))
    ordered = (sorted(run, key=lambda bracket: bracket.owner == "anyone") for run in runs)
    return Nesting(tuple(bracket for run in ordered for bracket in run), inside)
