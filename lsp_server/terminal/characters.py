"""Graphemes and cell widths: where a cursor may stand, and how wide text is in a terminal.

What a person takes for one character may be several: a letter and its accents, an emoji and its skin tone.
And a character may take no cell of the terminal, or two, or the four of a tab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final
from unicodedata import category

from prompt_toolkit.utils import get_cwidth

TAB_WIDTH: Final = 4

_JOINER: Final = "\u200d"
_WORD: Final = re.compile(r"\w+|[^\w\s]+")
# Modifiers of other characters: terminals disagree on the width of the result, so they are not drawn.
_NOT_DRAWN: Final = re.compile("[\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
# Control, invisible and direction characters, which a terminal would obey or hide.
_NOT_SEEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u200b-\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


def boundaries(line: str) -> list[int]:
    """The columns of `line` where a cursor may be, from its start to its end."""
    if line.isascii():
        return list(range(len(line) + 1))
    flags = 0
    found = [0]
    for column in range(1, len(line)):
        flags = flags + 1 if _is_flag_half(line[column - 1]) else 0
        if not _extends(line[column - 1], line[column]) and not (flags % 2 and _is_flag_half(line[column])):
            found.append(column)
    return [*found, len(line)]


def step_left(line: str, column: int) -> int:
    """The cursor column to the left of `column`."""
    return max((place for place in boundaries(line) if place < column), default=0)


def step_right(line: str, column: int) -> int:
    """The cursor column to the right of `column`."""
    return min((place for place in boundaries(line) if place > column), default=len(line))


def word_left(line: str, column: int) -> int:
    """The start of the word before `column`."""
    return max((match.start() for match in _WORD.finditer(line, 0, column)), default=0)


def word_right(line: str, column: int) -> int:
    """The end of the word at or after `column`."""
    match = _WORD.search(line, column)
    return match.end() if match else len(line)


def drawn(text: str, cell: int = 0) -> str:
    """`text` as drawn at `cell` of a line: tabs as spaces, without control characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character, _ in _cells(text, cell))


def width(text: str, cell: int = 0) -> int:
    """How many cells `text` takes at `cell` of a line."""
    return sum(cells for _, cells in _cells(text, cell))


def column_at_cell(line: str, cell: int) -> int:
    """The last cursor column of `line` that is at or before `cell`."""
    return _last_column(line, [cells for _, cells in _cells(line, 0)], cell)


def column_at_drawn(line: str, index: int) -> int:
    """The last cursor column of `line` that is at or before character `index` of the drawn line."""
    return _last_column(line, [len(shown) for shown, _ in _cells(line, 0)], index)


def _last_column(line: str, sizes: list[int], limit: int) -> int:
    """The last cursor column of `line` before which the characters' `sizes` add up to at most `limit`."""
    starts = [0, *accumulate(sizes)]
    return max((column for column in boundaries(line) if starts[column] <= limit), default=0)


def _cells(text: str, cell: int) -> Iterator[tuple[str, int]]:
    """The text that each character is drawn as, and its width in cells."""
    start = cell
    for character in text:
        if character == "\t":
            shown = " " * (TAB_WIDTH - cell % TAB_WIDTH)
        elif _NOT_DRAWN.match(character) and cell > start:
            shown = ""
        else:
            shown = "�" if _NOT_SEEN.match(character) else character
        cells = get_cwidth(shown)
        yield shown, cells
        cell += cells


def _extends(before: str, character: str) -> bool:
    """Whether `character` forms one grapheme with the character `before`."""
    return (
        category(character) in ("Mn", "Me", "Mc")
        or _JOINER in (before, character)
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
