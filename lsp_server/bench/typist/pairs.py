"""Matches brackets and quotes in a text, to simulate an editor that closes them when the first one is typed.

Strings and comments are recognized as in Python. In other languages the simulation is less realistic, but a
session still produces exactly its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLOSER: Final = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
_OPENER: Final = {")": "(", "]": "[", "}": "{"}


def closers(text: str) -> Mapping[int, int | None]:
    """Map the offset of each opening bracket or quote to that of its closer, or None if it has none.

    Brackets inside strings are ignored. Pairs are nested.
    """
    found: dict[int, int | None] = {}
    waiting: list[int] = []  # offsets of open brackets
    at = 0
    while at < len(text):
        character = text[at]
        if character == "#":
            at = _line_end(text, at)
        elif character in "\"'" and not _is_apostrophe(text, at):
            at = _string(text, at, found)
        elif character in _OPENER:
            _close(text, at, waiting, found)
            at += 1
        else:
            if character in CLOSER and character not in "\"'":
                found[at] = None
                waiting.append(at)
            at += 1
    return found


def _close(text: str, at: int, waiting: list[int], found: dict[int, int | None]) -> None:
    """Pair the bracket at `at` with the nearest matching one; those opened in between have no closer."""
    fits = [depth for depth, opener in enumerate(waiting) if text[opener] == _OPENER[text[at]]]
    if fits:
        found[waiting[fits[-1]]] = at
        del waiting[fits[-1] :]


def _string(text: str, at: int, found: dict[int, int | None]) -> int:
    """Match the quote at `at`; returns the end of its string."""
    quote = text[at]
    if text.startswith(quote * 3, at):
        found[at] = at + 1  # typed one by one, the second quote closes the first
        end = text.find(quote * 3, at + 3)
        return len(text) if end < 0 else end + 3
    end = at + 1
    while end < len(text) and text[end] not in "\r\n":
        if text[end] == quote:
            found[at] = end
            return end + 1
        end += 2 if text[end] == "\\" else 1
    found[at] = None
    return at + 1


def _is_apostrophe(text: str, at: int) -> bool:
    """Whether the quote at `at` follows a word, as in ``don't``, and not a string's prefix, as in ``rb'``."""
    start = at
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    return start < at and not (at - start <= 2 and set(text[start:at].lower()) <= set("rbfut"))


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
