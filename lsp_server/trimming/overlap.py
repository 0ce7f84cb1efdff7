"""Removes from a completion what the rest of the cursor's line has already, and drops it if it doesn't fit.

Editors close brackets and quotes as they are opened, and models close them again; some models also repeat the
rest of the line. If the text ends with the repeated part, that is dropped. If the text goes on after it, the
text replaces what the editor inserted. Where more text follows the cursor, `seam` aligns the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lsp_server.trimming.cursor_context import CursorContext
from lsp_server.trimming.seam import fitted
from lsp_server.trimming.syntax import unmatched_count

_CLOSING: Final = ")]}"
_PUNCTUATION: Final = ",;:"
_QUOTES: Final = "\"'`"
_MIN_LINE: Final = 3  # letters and digits; a shorter line may be meant twice


@dataclass(frozen=True)
class Piece:
    """A text to insert, which replaces `covers` characters to the right of the cursor on its line."""

    text: str
    covers: int = 0


def without_overlap(text: str, cursor: CursorContext) -> Piece:
    """The completed `text` as a piece, without what the rest of the line has already.

    It is empty where it would make the cursor's line a copy of the one below.
    """
    piece = _without_rest(text, cursor) if cursor.auto_closed else Piece(fitted(text, cursor))
    return Piece("") if _repeats_line_below(piece, cursor) else piece


def _without_rest(text: str, cursor: CursorContext) -> Piece:
    piece = _cut_overlap(text, cursor)
    covered = cursor.rest[: piece.covers]
    if covered and piece.text.rstrip().endswith(covered):  # it would only rewrite what it replaces
        piece = Piece(piece.text.rstrip()[: -len(covered)])
    return piece if piece.text.strip() else Piece("")


def _repeats_line_below(piece: Piece, cursor: CursorContext) -> bool:
    """Whether the last line with `piece` in it is the line below the cursor, and was not without it."""
    if not cursor.below or not piece.text:
        return False
    rest = cursor.rest[piece.covers :]
    line = (cursor.before + piece.text + rest).rpartition("\n")[2].strip()
    below = cursor.below[0].strip()
    return line == below != (cursor.before + cursor.rest).strip() and sum(map(str.isalnum, line)) >= _MIN_LINE


def _cut_overlap(text: str, cursor: CursorContext) -> Piece:
    body, rest = text.rstrip(), cursor.rest
    doubled = _repeated_in_text(body, cursor)
    if doubled:
        return Piece(_spaced(body[:-doubled], rest))
    scan = cursor.syntax.scan(body, cursor.state)
    covers = end = 0
    for closer in scan.shared[: max(0, len(scan.shared) - scan.state.opened)]:
        if rest[covers:].strip().startswith(body[closer.start :]):
            return Piece(_spaced(body[: closer.start], rest[covers:]), covers)
        covers, end = closer.rest_end, closer.end
    left = rest[covers:].strip()
    if left and body.endswith(left) and _repeats(body, left):
        return Piece(_spaced(body[: -len(left)], rest[covers:]), covers)
    if left and _has_on_first_line(body[end:], left):
        return Piece(body, len(rest.rstrip()))
    return Piece(_spaced(text, rest[covers:]), covers)


def certain_part(text: str, cursor: CursorContext) -> Piece:
    """As much of `without_overlap(text)` as stays the same while `text` grows.

    That is nothing where text follows the cursor: only a whole line shows whether it fits there.
    """
    if not cursor.auto_closed:
        return Piece("")
    text = text.rstrip()
    if not cursor.rest.strip():
        return Piece(text)
    shared = cursor.syntax.scan(text, cursor.state).shared
    for end, covers in ((0, 0), *((closer.end, closer.rest_end) for closer in shared)):
        left = cursor.rest[covers:].strip()
        for start in range(max(end, len(text) - len(left)), len(text)):
            if left.startswith(text[start:]):
                text = text[:start].rstrip()
                break
    return _without_rest(text, cursor)


def _repeated_in_text(body: str, cursor: CursorContext) -> int:
    """In a string or comment: how many characters at the end of `body` the editor has inserted already.

    Brackets are not scanned there, so they are counted on the line. If `body` ends the string, these
    characters have to include the string's end.
    """
    if cursor.state.inside is None or not cursor.auto_closed:
        return 0
    following = cursor.rest.strip()
    surplus = unmatched_count(cursor.before + body + following) - unmatched_count(cursor.before + following)
    ended = cursor.syntax.mask(body, cursor.state.inside).ended
    shortest = 1 if ended is None else len(body) - ended + len(cursor.state.inside.mark)
    for length in range(len(following), shortest - 1, -1):
        tail = following[:length]
        if body.endswith(tail) and sum(map(tail.count, _CLOSING)) <= surplus:
            return length
    return 0


def _has_on_first_line(text: str, left: str) -> bool:
    """Whether the first of several lines in `text` ends with `left`, which is punctuation."""
    line, _, more = text.partition("\n")
    return more.strip() != "" and line.rstrip().endswith(left) and not left.strip(_PUNCTUATION)


def _repeats(text: str, left: str) -> bool:
    """Whether `text`, which ends with `left`, repeats it; for brackets and quotes only counting tells."""
    if not left.strip(_CLOSING) or left in _QUOTES:
        return False
    before = text[: -len(left)]
    return not (before and _is_word(before[-1]) and _is_word(left[0]))


def _spaced(text: str, following: str) -> str:
    """`text` without trailing white space, unless `following` needs it."""
    if not following.strip():
        return text.rstrip()
    return text.rstrip(" \t") if following[0].isspace() or following.strip()[0] in _CLOSING else text


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
