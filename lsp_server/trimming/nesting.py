"""Brackets, strings and comments: what is open at a place.

trim ▶ cursor ▶ **nesting** ▶ languages. No grammar of any language, but enough of many to count brackets by:
what stands in strings and comments is masked, and the brackets that are left are followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from lsp_server.languages import LANGUAGES, Marks

CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}
STRING, UNFINISHED, COMMENT = '"', "'", "#"  # what the characters of strings and comments are masked with

Owner = Literal["text", "anyone", "rest", "others"]
"""Who closes what is open: the text that is followed has opened it, and must; anyone may; the rest of the
cursor's line does, where an editor closed it at once; other text does, and must not be robbed of that."""

BRACKET: Final = re.compile(r"[()\[\]{}]")


@dataclass(frozen=True)
class Opening:
    """An open bracket or string: the mark that opened it.

    `rest_end` is how much of the line's rest there is up to and with what closes it, if that is there.
    """

    mark: str
    owner: Owner = "text"
    rest_end: int = 0


@dataclass(frozen=True)
class Nesting:
    """What is open at a place: brackets, outermost first, and the string or comment that it is in."""

    brackets: tuple[Opening, ...] = ()
    inside: Opening | None = None

    @property
    def opened(self) -> int:
        """How many brackets and strings the text that led here has opened and not closed."""
        return sum(opening.owner == "text" for opening in (*self.brackets, self.inside) if opening)


@dataclass(frozen=True)
class Shared:
    """A closing bracket or quote of a text, from `start` to `end`, that the line's rest has as well."""

    start: int
    end: int
    rest_end: int


@dataclass(frozen=True)
class Masked:
    """A `text` whose strings and comments are masked, character by character.

    `ended` is where the string or comment ended that it begins in, and `inside` the one that it ends in.
    """

    text: str
    ended: int | None
    inside: Opening | None


@dataclass(frozen=True)
class Followed:
    """Where a text leads; `masked` is the text with its strings and comments masked.

    `excess` is where the first closing bracket or quote stands that is not the text's to write; what comes
    after it is not followed.
    """

    nesting: Nesting
    masked: str
    shared: tuple[Shared, ...] = ()
    excess: int | None = None


@dataclass(frozen=True)
class Syntax(Marks):
    """Tells a language's code from its comments and strings, by their marks."""

    def is_comment(self, opening: Opening) -> bool:
        """Whether `opening` is that of a comment."""
        return opening.mark in (self.comment, self.block and self.block[0])

    def follow(self, text: str, start: Nesting | None = None) -> Followed:
        """Follow `text` from a place where `start` is open."""
        start = start or Nesting()
        masked = self.mask(text, start.inside)
        shared: list[Shared] = []
        if start.inside is not None:
            if masked.ended is None:
                return Followed(start, masked.text)
            mark = masked.ended - len(start.inside.mark)
            if start.inside.owner == "others":
                return Followed(start, masked.text, (), mark)
            if start.inside.owner == "rest":
                shared.append(Shared(mark, masked.ended, start.inside.rest_end))
        brackets = list(start.brackets)
        for match in BRACKET.finditer(masked.text):
            if match[0] in CLOSERS:
                brackets.append(Opening(match[0]))
                continue
            opening = brackets[-1] if brackets else None
            if opening is None or opening.owner == "others" or CLOSERS[opening.mark] != match[0]:
                return Followed(Nesting(tuple(brackets)), masked.text, tuple(shared), match.start())
            if opening.owner == "rest":
                shared.append(Shared(match.start(), match.end(), opening.rest_end))
            brackets.pop()
        return Followed(Nesting(tuple(brackets), masked.inside), masked.text, tuple(shared))

    def mask(self, text: str, inside: Opening | None = None) -> Masked:
        """`text`, which begins in `inside`, with strings and comments masked."""
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
        owner: Owner = "anyone" if left_open == self.comment else "text"  # its line's end closes it
        return Masked(masked, ended, Opening(left_open, owner) if left_open else None)

    @cached_property
    def _literals(self) -> tuple[re.Pattern[str], list[_Literal]]:
        """What to look for, and for each of the pattern's groups what was found."""
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
        # Each alternative begins with a plain character: the search then skips all that lies between at once.
        return re.compile("|".join(f"{literal.pattern}()" for literal in found)), found


@dataclass(frozen=True)
class _Literal:
    """A string or comment that `pattern` finds; with `left_open`, its mark, one that a text ends in."""

    pattern: str
    mask: str
    left_open: str = ""


_SYNTAXES: Final = {one.id: Syntax(**vars(one.marks)) for one in LANGUAGES if one.marks is not None}


def syntax_of(language: str) -> Syntax:
    """That of a language by LSP's name of it; for others one without comments."""
    return _SYNTAXES.get(language, _PLAIN)


_PLAIN: Final = Syntax()


def unopened(masked: str) -> Iterator[re.Match[str]]:
    """The closing brackets that nothing in a masked text opens, up to the first that fits nothing at all."""
    opened: list[str] = []
    for match in BRACKET.finditer(masked):
        if match[0] in CLOSERS:
            opened.append(match[0])
        elif not opened:
            yield match
        elif CLOSERS[opened.pop()] != match[0]:
            return
