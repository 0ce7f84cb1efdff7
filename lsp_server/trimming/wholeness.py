"""Goes back from a text that breaks off, or breaks what stands around it, to where it was whole.

trim ▶ **wholeness** ▶ {overlap, repetition, python_syntax}. Whole lines are better than a part of one. Where
there is none, as when time ran out within the first line or the model has made a mistake there, it is as much
of that as leaves no bracket or string open: the name of a function is of use, half of its arguments are in
the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, tee
from typing import Final

from lsp_server.trimming.cursor import Cursor
from lsp_server.trimming.nesting import BRACKET, CLOSERS, COMMENT, STRING, Nesting, Opening
from lsp_server.trimming.overlap import Piece, fitted
from lsp_server.trimming.python_syntax import Region
from lsp_server.trimming.repetition import LineEchoes

_MOST_TRIED: Final = 6  # of lines and of parts of a line
_BLANK: Final = " \t" + COMMENT
_LAST_WORD: Final = re.compile(r"\w+\Z")
_TOKEN: Final = re.compile(rf"\w+|[()\[\]{{}}]|{STRING}+")


def whole(
    text: str, cursor: Cursor, regions: Iterable[Region] | None, *, cut: bool, header: bool = False
) -> Piece:
    """As much of `text`, from its start, as is whole; the empty text where nothing is.

    `cut` says that the text breaks off: its last line is not whole, and its last word may not be. With
    `regions` the text has to be right Python there. Where it may be that nothing could be (the user is in the
    middle of something), it must at least have no mistake of its own. A `header` that opens a block is right
    where no more than a line is wanted.
    """
    lines = list(islice(_lines(text, cut), _MOST_TRIED))
    candidates = _candidates(lines, text, cursor, cut=cut, python=regions is not None)
    balanced: Iterator[Piece] = (piece for piece in candidates if _balanced(piece, cursor))
    unfinished: list[Region] = []
    unclosed = any(opening.owner == "anyone" for opening in cursor.nesting.brackets)  # nothing can parse then
    for region in regions or ():
        balanced, tried = tee(balanced)  # parts of lines are not even looked for where a whole line is right
        for piece in tried:
            mistake = region.mistake(piece.text, piece.covers)
            if mistake is None:
                return piece
            if region.is_broken_by(mistake):
                break
        else:
            if not unclosed and region.can_parse():
                fits = header and cursor.nesting.inside is None
                return _header(lines, region, cursor) if fits else Piece("")
            if region.may_go_on("", _closing(cursor.nesting)):
                unfinished.append(region)
    if unfinished:
        right = (piece for piece in balanced if _has_no_mistake(piece.text, unfinished, cursor))
        return next(right, Piece(""))
    openers = (fitted(part, cursor) for part in lines if _opens_blocks_only(part, cursor))
    return next(chain(balanced, openers), Piece(""))


def _candidates(lines: list[str], text: str, cursor: Cursor, *, cut: bool, python: bool) -> Iterator[Piece]:
    """What of `text` may be whole: beginnings that end with one of `lines`, then such that end within one."""
    pieces = dict.fromkeys(fitted(line, cursor) for line in lines)
    yield from pieces
    if not cut and not (python and all(piece.text for piece in pieces)):
        return  # the language has no parser, or the text says what follows anyway
    echoes = LineEchoes(cursor.above, cursor.below)
    for part in islice(_parts(text, cursor), _MOST_TRIED):
        piece = fitted(part, cursor)
        if piece not in pieces and not echoes.has((cursor.before + part).rpartition("\n")[2]):
            pieces[piece] = None
            yield piece


def _lines(text: str, cut: bool) -> Iterator[str]:
    """Beginnings of `text` that end with a whole line, the longest first."""
    lines = text.split("\n")
    for number in range(len(lines) - cut, 0, -1):
        if lines[number - 1].strip():
            yield "\n".join(lines[:number])


def _parts(text: str, cursor: Cursor) -> Iterator[str]:
    """Beginnings of `text` that end after a word, a bracket or a string on its last line, longest first."""
    text = _LAST_WORD.sub("", text)
    followed = cursor.syntax.follow(text, cursor.nesting)
    if followed.nesting.inside is not None and followed.nesting.inside == cursor.nesting.inside:
        yield text.rstrip()  # in a string or a comment any word will do
        return
    ends = []
    depth = 0
    for match in _TOKEN.finditer(followed.masked):
        depth = max(0, depth + (match[0] in CLOSERS) - (match[0] in CLOSERS.values()))
        if not depth and match.start() > text.rfind("\n"):
            ends.append(match.end())
    yield from (text[:end] for end in reversed(ends))


def _balanced(piece: Piece, cursor: Cursor) -> bool:
    """Whether the piece, with the rest of the line after it, leaves nothing open that it has opened."""
    brackets = tuple(_freed(opening) for opening in cursor.nesting.brackets)
    inside = cursor.nesting.inside and _freed(cursor.nesting.inside)
    followed = cursor.syntax.follow(piece.text + cursor.rest[piece.covers :], Nesting(brackets, inside))
    return bool(piece.text.strip()) and not followed.nesting.opened


def _freed(opening: Opening) -> Opening:
    return replace(opening, owner="anyone") if opening.owner == "rest" else opening


def _closing(nesting: Nesting) -> str:
    """What closes all that is open."""
    inside = nesting.inside.mark if nesting.inside else ""
    return inside + "".join(CLOSERS[opening.mark] for opening in reversed(nesting.brackets))


def _has_no_mistake(text: str, unfinished: list[Region], cursor: Cursor) -> bool:
    """Whether `text` is right as far as it goes."""
    closing = _closing(cursor.syntax.follow(text, cursor.nesting).nesting)
    return any(region.may_go_on(text, closing) for region in unfinished)


def _header(lines: list[str], region: Region, cursor: Cursor) -> Piece:
    """The line that opens a block whose body has not come, if that is all that is wrong with it."""
    for line in lines[-1:]:
        last = (cursor.before + line).rpartition("\n")[2]
        body = "\n" + last[: len(last) - len(last.lstrip())] + " pass"
        if region.mistake(line + body) is None:
            return Piece(line)
    return Piece("")


def _opens_blocks_only(text: str, cursor: Cursor) -> bool:
    """Whether the brackets that `text` leaves open each end a line, as those around blocks do."""
    followed = cursor.syntax.follow(text, cursor.nesting)
    if followed.nesting.inside is not None or followed.excess is not None:
        return False
    opened: list[re.Match[str]] = []
    for match in BRACKET.finditer(followed.masked):
        if match[0] in CLOSERS:
            opened.append(match)
        elif opened:
            opened.pop()
    lines_left = (followed.masked[match.end() :].partition("\n")[0] for match in opened)
    return all(match[0] == "{" for match in opened) and not any(line.strip(_BLANK) for line in lines_left)
