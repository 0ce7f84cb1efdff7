"""What a completion has in common with the rest of the cursor's line.

trim ▶ **overlap** ▶ cursor. Editors close brackets and quotes as they are opened, and models close them
again; some models also write the rest of the line once more. What comes twice is dropped where the text ends
with it. Where the text goes on behind it, the text takes the place of what the editor wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lsp_server.trimming.cursor import Cursor
from lsp_server.trimming.nesting import unopened

_CLOSING: Final = ")]}"
_PUNCTUATION: Final = ",;:"
_QUOTES: Final = "\"'`"


@dataclass(frozen=True)
class Piece:
    """A text to insert, and how many characters right of the cursor, on its line, it takes the place of."""

    text: str
    covers: int = 0


def fitted(text: str, cursor: Cursor) -> Piece:
    """`text`, a whole completion, as a piece that has nothing in common with the rest of the line."""
    piece = _without_overlap(text, cursor)
    covered = cursor.rest[: piece.covers]
    if covered and piece.text.rstrip().endswith(covered):  # it would only write again what it covers
        piece = Piece(piece.text.rstrip()[: -len(covered)])
    return piece if piece.text.strip() else Piece("")


def _without_overlap(text: str, cursor: Cursor) -> Piece:
    body, rest = text.rstrip(), cursor.rest
    doubled = _doubled_in_prose(body, cursor)
    if doubled:
        return Piece(_spaced(body[:-doubled], rest))
    followed = cursor.syntax.follow(body, cursor.nesting)
    covers = end = 0
    for closer in followed.shared[: max(0, len(followed.shared) - followed.nesting.opened)]:
        if rest[covers:].strip().startswith(body[closer.start :]):
            return Piece(_spaced(body[: closer.start], rest[covers:]), covers)
        covers, end = closer.rest_end, closer.end
    left = rest[covers:].strip()
    if left and body.endswith(left) and _says_again(body, left):
        return Piece(_spaced(body[: -len(left)], rest[covers:]), covers)
    if left and _says_on_line(body[end:], left):
        return Piece(body, len(rest.rstrip()))
    return Piece(_spaced(text, rest[covers:]), covers)


def certain(text: str, cursor: Cursor) -> Piece:
    """What of `fitted` is certain while `text` still grows."""
    text = text.rstrip()
    if not cursor.rest.strip():
        return Piece(text)
    shared = cursor.syntax.follow(text, cursor.nesting).shared
    for end, covers in ((0, 0), *((closer.end, closer.rest_end) for closer in shared)):
        left = cursor.rest[covers:].strip()
        for start in range(max(end, len(text) - len(left)), len(text)):
            if left.startswith(text[start:]):
                text = text[:start].rstrip()
                break
    return fitted(text, cursor)


def _doubled_in_prose(body: str, cursor: Cursor) -> int:
    """In a string or comment: how many characters `body` ends with that an editor has put there already.

    Brackets are not followed there, so they are counted as they stand on the line. Where `body` ends the
    string, these characters are to be its end, and what follows it, at least.
    """
    if cursor.nesting.inside is None or not cursor.auto_closed:
        return 0
    following = cursor.rest.strip()
    surplus = _unopened(cursor.before + body + following) - _unopened(cursor.before + following)
    ended = cursor.syntax.mask(body, cursor.nesting.inside).ended
    shortest = 1 if ended is None else len(body) - ended + len(cursor.nesting.inside.mark)
    for length in range(len(following), shortest - 1, -1):
        tail = following[:length]
        if body.endswith(tail) and sum(map(tail.count, _CLOSING)) <= surplus:
            return length
    return 0


def _unopened(text: str) -> int:
    """How many closing brackets nothing in `text` opens."""
    return sum(1 for _ in unopened(text))


def _says_on_line(text: str, left: str) -> bool:
    """Whether `text` has `left`, which is punctuation, at the end of the first of its lines."""
    line, _, more = text.partition("\n")
    return more.strip() != "" and line.rstrip().endswith(left) and not left.strip(_PUNCTUATION)


def _says_again(text: str, left: str) -> bool:
    """Whether `text` ends with `left` for a second time; of brackets and quotes only counting tells."""
    if not left.strip(_CLOSING) or left in _QUOTES:
        return False
    before = text[: -len(left)]
    return not (before and _is_word(before[-1]) and _is_word(left[0]))


def _spaced(text: str, following: str) -> str:
    """`text` without the white space at its end, as far as `following` does not need it."""
    if not following.strip():
        return text.rstrip()
    return text.rstrip(" \t") if following[0].isspace() or following.strip()[0] in _CLOSING else text


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
