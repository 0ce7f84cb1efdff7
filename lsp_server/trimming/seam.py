"""Where a completion meets the text after the cursor on its line, if that is more than an editor inserts.

Models write some of that text again. A completion is aligned with it: what they share is dropped from the
completion, wherever it ends in the rest of the line. What is left must not run into the rest: a piece that
ends with a word does not fit before a word, unless both together are a word that makes sense there.
"""

from __future__ import annotations

import re
from typing import Final

from lsp_server.trimming.cursor_context import CursorContext
from lsp_server.trimming.syntax import CLOSERS

_MAX_SHARED: Final = 200  # characters
_MIN_SHARED_WITHIN_WORD: Final = 4  # fewer may be the end of a word that is only similar
_SEPARATORS: Final = " \t,."
_DOUBLED_MARKS: Final = frozenset(",;.=:([{")
_BETWEEN_PHRASES: Final = " \t,.;:()[]{}\"'`"
_OPERAND_ENDS: Final = frozenset(")]}\"'`")
_CLOSING: Final = frozenset(")]}")
_STATEMENT_ENDS: Final = frozenset(";:{}")
_FIRST_WORD: Final = re.compile(r"\w+")
_LAST_WORD: Final = re.compile(r"\w+\Z")


def fitted(text: str, cursor: CursorContext) -> str:
    """As much of `text` as fits before the rest of the line; empty if none does."""
    joined = False  # the model itself wrote the word that `text` and the rest form together
    while text.strip():
        shared, within = _shared(text.rstrip(), cursor)
        if not shared:
            break
        joined = within
        text = text.rstrip()[:-shared]
    if cursor.rest[0].isspace() or cursor.rest[0] in ")]}":
        text = text.rstrip()
    return text if _fits(text, cursor, joined=joined) else ""


def shares_end(text: str, cursor: CursorContext) -> bool:
    """Whether `text` ends with what the rest of the line begins with."""
    return _shared(text.rstrip(), cursor)[0] > 0


def _shared(body: str, cursor: CursorContext) -> tuple[int, bool]:
    """How much of the end of `body` the rest of the line begins with; whether that is within a word."""
    rest = cursor.rest.strip()
    if body.endswith(rest) and _has_word(rest):
        if _starts_word(body, len(rest)):
            return len(rest), False
        if len(rest) >= _MIN_SHARED_WITHIN_WORD:
            return len(rest), True
    tail = _tail(cursor)
    if len(tail) > 1 and body.endswith(tail):
        return len(tail), len(body) > len(tail)
    return _shared_words(body, rest), False


def _shared_words(body: str, rest: str) -> int:
    own, following = body.rstrip(_SEPARATORS), rest.lstrip(_SEPARATORS)
    apart = len(own) < len(body) or len(following) < len(rest)
    for length in range(min(len(body), len(rest), _MAX_SHARED), 0, -1):
        part = rest[:length]
        counts = part in _DOUBLED_MARKS or _has_word(part)
        if body.endswith(part) and counts and _is_whole(part, rest) and _starts_word(body, length):
            return length
    for length in range(min(len(own), len(following), _MAX_SHARED) * apart, 0, -1):
        part = following[:length]
        counts = _has_word(part) and not part.isdigit()
        if own.endswith(part) and counts and _is_whole(part, following) and _starts_word(own, length):
            return len(body) - len(own) + length
    return 0


def _fits(text: str, cursor: CursorContext, *, joined: bool) -> bool:
    """Whether the rest of the line can follow `text`; `joined` if the model wrote it so."""
    if not text.strip():
        return False
    before, rest = cursor.before, cursor.rest
    state = cursor.syntax.scan(text, cursor.state).state
    if state.opened or (cursor.state.inside is None and state.inside is not None):
        return False
    if not _CLOSING.isdisjoint(text) and _closes_more(text, cursor):
        return False
    if rest[0] in "([{" and text[0] == rest[0] and _ends_with_word(before):
        return False  # another call, before the one that is there
    if _repeats_phrase(text, rest):
        return False
    if not before.strip() and cursor.state.inside is None and text.rstrip()[-1] in _STATEMENT_ENDS:
        return False  # two statements on a line
    if not _FIRST_WORD.match(rest):
        return True
    tail = _tail(cursor)
    if tail:
        return _fits_within_word(text, tail, cursor, joined=joined)
    if joined:
        return True
    return text[-1] not in _OPERAND_ENDS and (not _ends_with_word(text) or _is_known(text, cursor))


def _closes_more(text: str, cursor: CursorContext) -> bool:
    """Whether more brackets of the line have no opener with `text` in it.

    Brackets are not scanned in strings and comments, and wrongly where the lexer takes code for one.
    """
    return _stray_closers(cursor.before + text + cursor.rest) > _stray_closers(cursor.before + cursor.rest)


def _stray_closers(line: str) -> int:
    """How many closing brackets have no opening one of their kind before them."""
    stray = 0
    for opener, closer in CLOSERS.items():
        depth = 0
        for character in line:
            if character == opener:
                depth += 1
            elif character == closer:
                stray += depth == 0
                depth = max(0, depth - 1)
    return stray


def _fits_within_word(text: str, tail: str, cursor: CursorContext, *, joined: bool) -> bool:
    if len(tail) > 1 and text.startswith(tail):  # the word is whole, so it must begin again
        head, last = _LAST_WORD.search(cursor.before), _LAST_WORD.search(text)
        return last is not None and head is not None and last.start() > 0 and last[0] == head[0]
    if joined:
        return True
    if not _ends_with_word(text):
        return text[-1] not in _OPERAND_ENDS and (not _has_word(text) or cursor.has_word(tail))
    if _FIRST_WORD.fullmatch(text):
        ends_part = text[-1] == "_" or tail[0] == "_" or (tail[0].isupper() and text[-1].islower())
        return ends_part or _is_known(text, cursor)
    return _is_known(text, cursor)


def _is_known(text: str, cursor: CursorContext) -> bool:
    """Whether the word that `text` and the rest of the line form is one of the document's."""
    first, last = _FIRST_WORD.match(cursor.rest), _LAST_WORD.search(text)
    assert first is not None
    assert last is not None
    begin = _LAST_WORD.search(cursor.before) if last.start() == 0 else None
    return cursor.has_word((begin[0] if begin else "") + last[0] + first[0])


def _repeats_phrase(text: str, rest: str) -> bool:
    """Whether `text` ends with the rest's first words, at least two, with brackets or quotes between them."""
    own, following = text.rstrip(_BETWEEN_PHRASES), rest.lstrip(_BETWEEN_PHRASES)
    for length in range(min(len(own), len(following), _MAX_SHARED), 2, -1):
        part = following[:length]
        if own.endswith(part) and _is_whole(part, following) and _starts_word(own, length):
            return len(_FIRST_WORD.findall(part)) > 1
    return False


def _tail(cursor: CursorContext) -> str:
    """The rest of the word that the cursor is in."""
    match = _FIRST_WORD.match(cursor.rest)
    return match[0] if match and _ends_with_word(cursor.before) else ""


def _starts_word(text: str, length: int) -> bool:
    """Whether the last `length` characters of `text` do not begin within a word."""
    start = len(text) - length
    return not start or not (_is_word(text[start - 1]) and _is_word(text[start]))


def _is_whole(part: str, text: str) -> bool:
    """Whether `part`, with which `text` begins, does not end within a word."""
    return len(part) == len(text) or not (_is_word(part[-1]) and _is_word(text[len(part)]))


def _has_word(text: str) -> bool:
    return _FIRST_WORD.search(text) is not None


def _ends_with_word(text: str) -> bool:
    return bool(text) and _is_word(text[-1])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
