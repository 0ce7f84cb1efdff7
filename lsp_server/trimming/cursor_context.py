"""What surrounds the cursor: its line, the lines near it, and the brackets and strings open there.

Open brackets are searched for near the cursor only: in Python from the last function or class on, in other
languages within some thousand characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Final, Literal

from lsp_server.trimming.end_blocks import has_end_blocks, opens_block
from lsp_server.trimming.syntax import (
    CLOSERS,
    COMMENT,
    LexerState,
    Opener,
    Syntax,
    syntax_of,
    unmatched_closers,
)

Extent = Literal["line", "statement", "block"]
"""How much may be completed at a cursor: a single line, the rest of a statement, or a block of lines."""

BLANK: Final = " \t\n" + COMMENT
OPENERS: Final = ("(", "[", "{", ":")
_AUTO_CLOSED: Final = frozenset(")]}>\"'`,;:")  # what editors close automatically, and what may follow it
_MAX_SCANNED: Final = 8_000
_MAX_LINES_SCANNED: Final = 50
_MAX_SEARCHED: Final = 4_000  # characters on either side
_MAX_LINES_KEPT: Final = 3
_DEFINITION: Final = re.compile(
    r"^[ \t]*(?:async[ \t]+)?(?:def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[:(])", re.MULTILINE
)


@dataclass(frozen=True)
class CursorContext:
    """The cursor's line, `before` and `rest`, and the nearest lines `above` and `below` that are not blank.

    `state` has what is open there and what closes it; the first `depth` brackets were open when the line
    began, and `masked` is `before` with its strings and comments masked. `auto_closed` says that the rest of
    the line is at most what editors close automatically, which a completion may overwrite. `text` is the
    document near the cursor. With `end_blocks`, words like ``end`` close blocks.
    """

    before: str
    masked: str
    rest: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    syntax: Syntax
    state: LexerState
    depth: int
    auto_closed: bool
    text: str = ""
    end_blocks: bool = False

    @classmethod
    def between(cls, prefix: str, suffix: str, language: str) -> CursorContext:
        """The context of a cursor between two texts."""
        syntax = syntax_of(language)
        start = _start_of_window(prefix, language)
        line = max(start, prefix.rfind("\n") + 1)
        rest, _, below = suffix.partition("\n")
        auto_closed = all(character.isspace() or character in _AUTO_CLOSED for character in rest)
        at_line = syntax.scan(prefix[start:line]).state
        scan = syntax.scan(prefix[line:], at_line)
        return cls(
            before=prefix[line:],
            masked=scan.masked,
            rest=rest,
            above=_not_blank(reversed(prefix[:line].split("\n")[-_MAX_LINES_SCANNED:]))[::-1],
            below=_not_blank(iter(below.split("\n", _MAX_LINES_SCANNED)[:_MAX_LINES_SCANNED])),
            syntax=syntax,
            state=_with_closers(
                scan.state, syntax, _closing_text(suffix, language), len(rest) if auto_closed else 0
            ),
            depth=len(at_line.brackets),
            auto_closed=auto_closed,
            text="" if auto_closed else prefix[-_MAX_SEARCHED:] + suffix[:_MAX_SEARCHED],
            end_blocks=has_end_blocks(language),
        )

    def has_word(self, word: str) -> bool:
        """Whether `word` is in the document, near the cursor; the cursor does not divide words."""
        return re.search(rf"\b{re.escape(word)}\b", self.text) is not None

    @property
    def opens_block(self) -> bool:
        """Whether the text before the cursor opens a block, or a list of lines in brackets."""
        code = self.masked.rstrip(BLANK)
        if self.end_blocks and opens_block(code):
            return True
        return code.endswith(OPENERS) and not (code.endswith(":") and len(self.state.brackets) > self.depth)

    @property
    def extent(self) -> Extent:
        """How much may be completed."""
        if not self.auto_closed:
            return "line"
        if self.opens_block:
            return "block"
        if self.state.inside is not None:
            return "line"
        return "statement" if self.before.strip() else "block"


def _start_of_window(prefix: str, language: str) -> int:
    """The start of the line to scan from; outside strings, as far as can be told."""
    start = prefix.rfind("\n", 0, len(prefix) - _MAX_SCANNED) + 1 if len(prefix) > _MAX_SCANNED else 0
    if language == "python":
        for match in _DEFINITION.finditer(prefix, start):
            start = match.start()
    return start


def _closing_text(suffix: str, language: str) -> str:
    """As much of `suffix` as may close what is open before it."""
    below = suffix.find("\n")
    definition = _DEFINITION.search(suffix, below + 1) if language == "python" and below >= 0 else None
    return suffix[: definition.start() if definition else _MAX_SCANNED]


def _not_blank(lines: Iterator[str]) -> tuple[str, ...]:
    """The first few of `lines` that are not blank."""
    return tuple(islice((line.rstrip() for line in lines if line.strip()), _MAX_LINES_KEPT))


def _with_closers(state: LexerState, syntax: Syntax, suffix: str, own: int) -> LexerState:
    """`state` with what closes it in `suffix`, whose first `own` characters were inserted by the editor."""

    def closed(opener: Opener, start: int, end: int) -> Opener:
        return replace(opener, closed_by="rest" if start < own else "others", rest_end=end)

    inside = state.inside
    masked = syntax.mask(suffix, inside)
    if inside is not None:
        if masked.ended is not None and "\n" not in suffix[: masked.ended]:
            inside = closed(inside, masked.ended - len(inside.mark), masked.ended)
        else:  # a quote further down may open another string
            inside = replace(inside, closed_by="anyone")
            masked = syntax.mask(suffix[:own])
    brackets = [replace(bracket, closed_by="anyone") for bracket in state.brackets]
    top = len(brackets)
    for closer in unmatched_closers(masked.text):
        while top and CLOSERS[brackets[top - 1].mark] != closer[0]:
            top -= 1
        if not top:
            break
        top -= 1
        brackets[top] = closed(brackets[top], closer.start(), closer.end())
    # Among equal brackets in a row, those that nothing closes are taken for the innermost.
    runs = (list(run) for _, run in groupby(brackets, key=lambda bracket: bracket.mark))
    ordered = (sorted(run, key=lambda bracket: bracket.closed_by == "anyone") for run in runs)
    return LexerState(tuple(bracket for run in ordered for bracket in run), inside)
