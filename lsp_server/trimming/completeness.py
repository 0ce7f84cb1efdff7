"""Cuts a completion that breaks off, or breaks the code around it, back to a complete part.

Whole lines are better than a part of one. If there are none, as when the time ran out within the first line,
it is as much of that line as leaves no bracket or string open: the name of a function helps, half of its
arguments don't.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, tee
from typing import Final

from lsp_server.trimming.cursor_context import CursorContext
from lsp_server.trimming.overlap import Piece, without_overlap
from lsp_server.trimming.python_syntax import Region
from lsp_server.trimming.repetition import RepeatedLines
from lsp_server.trimming.syntax import BRACKET, CLOSERS, COMMENT, STRING, LexerState, Opener

_MAX_TRIED: Final = 6  # whole lines, and parts of a line
_BLANK: Final = " \t" + COMMENT
_LAST_WORD: Final = re.compile(r"\w+\Z")
_TOKEN: Final = re.compile(rf"\w+|[()\[\]{{}}]|{STRING}+")


def complete_part(
    text: str, cursor: CursorContext, regions: Iterable[Region] | None, *, cut: bool, header: bool = False
) -> Piece:
    """The longest complete beginning of `text`; empty if there is none.

    `cut` says that the text breaks off: its last line is incomplete, and its last word may be. With `regions`
    they have to parse as Python with the text in them. If they can't parse with any text, since the user is
    in the middle of something, the text must at least have no mistake of its own. With `header`, a single
    line that opens a block is complete.
    """
    lines = list(islice(_lines(text, cut), _MAX_TRIED))
    candidates = _candidates(lines, text, cursor, cut=cut, python=regions is not None)
    return _first_whole(candidates, lines, cursor, regions, header=header)


def complete_line(line: str, cursor: CursorContext, regions: Iterable[Region] | None) -> Piece:
    """`line` as a line of its own, before the cursor's; empty if it breaks the code around it."""
    piece = Piece(f"{line}\n{cursor.before}")
    return _first_whole(iter([piece]), [], cursor, regions, header=False)


def _first_whole(
    candidates: Iterator[Piece],
    lines: list[str],
    cursor: CursorContext,
    regions: Iterable[Region] | None,
    *,
    header: bool,
) -> Piece:
    """The first of `candidates` that is complete; `lines` are beginnings of the text that end with a line."""
    balanced: Iterator[Piece] = (piece for piece in candidates if _balanced(piece, cursor))
    unfinished: list[Region] = []
    unclosed = any(opener.closed_by == "anyone" for opener in cursor.state.brackets)  # nothing can parse then
    for region in regions or ():
        balanced, tried = tee(balanced)  # lazy: parts of lines are not computed if a whole line parses
        for piece in tried:
            mistake = region.mistake(piece.text, piece.covers)
            if mistake is None:
                return piece
            if region.is_broken_by(mistake):
                break
        else:
            if not unclosed and region.can_parse():
                fits = header and cursor.state.inside is None
                return _header(lines, region, cursor) if fits else Piece("")
            if region.may_continue("", _closing(cursor.state)):
                unfinished.append(region)
    if unfinished:
        right = (piece for piece in balanced if _has_no_mistake(piece.text, unfinished, cursor))
        return next(right, Piece(""))
    openers = (without_overlap(part, cursor) for part in lines if _opens_blocks_only(part, cursor))
    return next(chain(balanced, openers), Piece(""))


def _candidates(
    lines: list[str], text: str, cursor: CursorContext, *, cut: bool, python: bool
) -> Iterator[Piece]:
    """Beginnings of `text` that may be complete: those that end with one of `lines`, then parts of lines."""
    pieces = dict.fromkeys(without_overlap(line, cursor) for line in lines)
    yield from pieces
    if not cut and not (python and all(piece.text for piece in pieces)):
        return  # there is no parser to check parts with, or the text only repeats the rest
    repeated = RepeatedLines(cursor.above, cursor.below)
    for part in islice(_parts(text, cursor), _MAX_TRIED):
        piece = without_overlap(part, cursor)
        if piece not in pieces and not repeated.contains((cursor.before + part).rpartition("\n")[2]):
            pieces[piece] = None
            yield piece


def _lines(text: str, cut: bool) -> Iterator[str]:
    """Beginnings of `text` that end with a line, the longest first."""
    lines = text.split("\n")
    for number in range(len(lines) - cut, 0, -1):
        if lines[number - 1].strip():
            yield "\n".join(lines[:number])


def _parts(text: str, cursor: CursorContext) -> Iterator[str]:
    """Beginnings of `text` that end after a word, a bracket or a string on its last line, longest first."""
    text = _LAST_WORD.sub("", text)
    scan = cursor.syntax.scan(text, cursor.state)
    if scan.state.inside is not None and scan.state.inside == cursor.state.inside:
        yield text.rstrip()  # in a string or a comment, any word can be the last
        return
    ends = []
    depth = 0
    for match in _TOKEN.finditer(scan.masked):
        depth = max(0, depth + (match[0] in CLOSERS) - (match[0] in CLOSERS.values()))
        if not depth and match.start() > text.rfind("\n"):
            ends.append(match.end())
    yield from (text[:end] for end in reversed(ends))


def _balanced(piece: Piece, cursor: CursorContext) -> bool:
    """Whether the piece closes all that it opens, perhaps with what the editor has closed."""
    brackets = tuple(_closable(opener) for opener in cursor.state.brackets)
    inside = cursor.state.inside and _closable(cursor.state.inside)
    rest = cursor.rest[piece.covers :] if cursor.auto_closed else ""
    scan = cursor.syntax.scan(piece.text + rest, LexerState(brackets, inside))
    return bool(piece.text.strip()) and not scan.state.opened


def _closable(opener: Opener) -> Opener:
    return replace(opener, closed_by="anyone") if opener.closed_by == "rest" else opener


def _closing(state: LexerState) -> str:
    """The text that closes all that is open."""
    inside = state.inside.mark if state.inside else ""
    return inside + "".join(CLOSERS[opener.mark] for opener in reversed(state.brackets))


def _has_no_mistake(text: str, unfinished: list[Region], cursor: CursorContext) -> bool:
    """Whether `text` has no mistake of its own in one of the regions."""
    closing = _closing(cursor.syntax.scan(text, cursor.state).state)
    return any(region.may_continue(text, closing) for region in unfinished)


def _header(lines: list[str], region: Region, cursor: CursorContext) -> Piece:
    """The line that opens a block, if it parses with a body after it; else nothing."""
    for line in lines[-1:]:
        last = (cursor.before + line).rpartition("\n")[2]
        body = "\n" + last[: len(last) - len(last.lstrip())] + " pass"
        if region.mistake(line + body) is None:
            return Piece(line)
    return Piece("")


def _opens_blocks_only(text: str, cursor: CursorContext) -> bool:
    """Whether each bracket that `text` leaves open is a brace at a line's end, which opens a block."""
    scan = cursor.syntax.scan(text, cursor.state)
    if scan.state.inside is not None or scan.stray is not None:
        return False
    opened: list[re.Match[str]] = []
    for match in BRACKET.finditer(scan.masked):
        if match[0] in CLOSERS:
            opened.append(match)
        elif opened:
            opened.pop()
    lines_left = (scan.masked[match.end() :].partition("\n")[0] for match in opened)
    return all(match[0] == "{" for match in opened) and not any(line.strip(_BLANK) for line in lines_left)
