"""A small lexer for brackets, strings and comments, in any language of the table in `languages`.

It masks strings and comments, then matches the brackets that are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from lsp_server.languages import LANGUAGES, Marks

CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}
STRING, UNFINISHED, COMMENT = '"', "'", "#"  # what strings and comments are masked with

ClosedBy = Literal["text", "anyone", "rest", "others"]
"""What closes an open bracket or string: "text": the scanned text, which opened it, must; "anyone": any text
may; "rest": the rest of the cursor's line does, where the editor closed it; "others": text below does, so the
scanned text must not."""

BRACKET: Final = re.compile(r"[()\[\]{}]")


@dataclass(frozen=True)
class Opener:
    """An open bracket, string or comment, by the mark that opened it.

    `rest_end` is the end of its closer in the rest of the cursor's line, if the closer is there.
    """

    mark: str
    closed_by: ClosedBy = "text"
    rest_end: int = 0


@dataclass(frozen=True)
class LexerState:
    """What is open at a position: brackets, outermost first, and the string or comment that it is in."""

    brackets: tuple[Opener, ...] = ()
    inside: Opener | None = None

    @property
    def opened(self) -> int:
        """How many brackets and strings the scanned text has opened and not closed."""
        return sum(opener.closed_by == "text" for opener in (*self.brackets, self.inside) if opener)


@dataclass(frozen=True)
class SharedCloser:
    """A closer in a text, from `start` to `end`, that the rest of the cursor's line has as well."""

    start: int
    end: int
    rest_end: int


@dataclass(frozen=True)
class Masked:
    """A `text` with strings and comments masked, character by character.

    `ended` is the end of the string or comment that it begins in, and `inside` the one that it ends in.
    """

    text: str
    ended: int | None
    inside: Opener | None


@dataclass(frozen=True)
class Scan:
    """The state at the end of a text; `masked` is the text with its strings and comments masked.

    `stray` is the position of the first closer that must not be in the text; the scan ends there.
    """

    state: LexerState
    masked: str
    shared: tuple[SharedCloser, ...] = ()
    stray: int | None = None


@dataclass(frozen=True)
class Syntax(Marks):
    """Scans code of one language."""

    def scan(self, text: str, start: LexerState | None = None) -> Scan:
        """Scan `text` from the state `start`."""
        start = start or LexerState()
        masked = self.mask(text, start.inside)
        shared: list[SharedCloser] = []
        if start.inside is not None:
            if masked.ended is None:
                return Scan(start, masked.text)
            mark = masked.ended - len(start.inside.mark)
            if start.inside.closed_by == "others":
                return Scan(start, masked.text, (), mark)
            if start.inside.closed_by == "rest":
                shared.append(SharedCloser(mark, masked.ended, start.inside.rest_end))
        brackets = list(start.brackets)
        for match in BRACKET.finditer(masked.text):
            if match[0] in CLOSERS:
                brackets.append(Opener(match[0]))
                continue
            opener = brackets[-1] if brackets else None
            if opener is None or opener.closed_by == "others" or CLOSERS[opener.mark] != match[0]:
                return Scan(LexerState(tuple(brackets)), masked.text, tuple(shared), match.start())
            if opener.closed_by == "rest":
                shared.append(SharedCloser(match.start(), match.end(), opener.rest_end))
            brackets.pop()
        return Scan(LexerState(tuple(brackets), masked.inside), masked.text, tuple(shared))

    def mask(self, text: str, inside: Opener | None = None) -> Masked:
        """Mask the strings and comments of `text`, which begins in `inside`."""
        opened = inside.mark if inside else ""
        ended: int | None = None
        left_open = ""

        def mask(match: re.Match[str]) -> str:
            nonlocal ended, left_open
            literal = literals[(match.lastindex or 0) - 1]
            if literal.left_open:
                left_open = literal.left_open
            elif opened and match.start() == 0:
                ended = match.end() - len(opened)
            return "\n".join(literal.mask * len(line) for line in match[0].split("\n"))

        pattern, literals = self._literals
        masked = pattern.sub(mask, opened + text)[len(opened) :]
        closed_by: ClosedBy = "anyone" if left_open == self.comment else "text"  # the line's end closes it
        return Masked(masked, ended, Opener(left_open, closed_by) if left_open else None)

    @cached_property
    def _literals(self) -> tuple[re.Pattern[str], list[_Literal]]:
        """The pattern of all literals, and the literal for each of its groups."""
        found = []
        for quote in (*self.long_quotes, *self.quotes):
            over_lines = quote in self.long_quotes
            plain = f"[^{quote[0]}\\\\]*" if over_lines else f"[^{quote[0]}\\\\\n]*"
            lone = f"|{quote[0]}(?!{quote[1:]})" if len(quote) > 1 else ""
            body = rf"{quote}{plain}(?:(?:\\[\s\S]{lone}){plain})*"
            found.append(_Literal(body + quote, STRING))
            found.append(_Literal(rf"{quote}[\s\S]*" if over_lines else rf"{body}\\?\Z", UNFINISHED, quote))
        if self.comment:
            found.append(_Literal(rf"{self.comment}[^\n]*\n", COMMENT))
            found.append(_Literal(rf"{self.comment}[^\n]*\Z", COMMENT, self.comment))
        if self.block:
            start, end = map(re.escape, self.block)
            found.append(_Literal(rf"{start}[\s\S]*?{end}", COMMENT))
            found.append(_Literal(rf"{start}[\s\S]*", COMMENT, self.block[0]))
        # Each alternative begins with a literal character, which makes the search fast.
        return re.compile("|".join(f"{literal.pattern}()" for literal in found)), found


@dataclass(frozen=True)
class _Literal:
    """A string or comment that `pattern` matches; `left_open` is its mark if it isn't closed."""

    pattern: str
    mask: str
    left_open: str = ""


_SYNTAXES: Final = {one.id: Syntax(**vars(one.marks)) for one in LANGUAGES if one.marks is not None}


def syntax_of(language: str) -> Syntax:
    """The syntax of a language by its LSP id; for unknown ones, strings without comments."""
    return _SYNTAXES.get(language, _PLAIN)


_PLAIN: Final = Syntax()


def unmatched_closers(masked: str) -> Iterator[re.Match[str]]:
    """The closers that nothing in a masked text opens, up to the first mismatch."""
    opened: list[str] = []
    for match in BRACKET.finditer(masked):
        if match[0] in CLOSERS:
            opened.append(match[0])
        elif not opened:
            yield match
        elif CLOSERS[opened.pop()] != match[0]:
            return


def unmatched_count(masked: str) -> int:
    """How many closers in a masked text have no opener, up to the first mismatch."""
    return sum(1 for _ in unmatched_closers(masked))
