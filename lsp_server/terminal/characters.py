"""Characters as a terminal shows them and a person counts them.

{buffer, drawing} ▶ **characters**. What a person takes for one character may be several: a letter and its
accents, an emoji and its colour. And one character may take no cell of the terminal, or two, or a tab's four.
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
# Terminals do not agree on how wide what these make of others is, so they are not drawn.
_NOT_DRAWN: Final = re.compile("[\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
# These a terminal would obey, or hide: text that can't be seen, or seems to stand in another order.
_NOT_SEEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u200b-\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


def boundaries(line: str) -> list[int]:
    """The columns of `line` where a cursor may stand, from its start to its end."""
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
    """The place of a cursor before the one at `column`."""
    return max((place for place in boundaries(line) if place < column), default=0)


def step_right(line: str, column: int) -> int:
    """The place of a cursor after the one at `column`."""
    return min((place for place in boundaries(line) if place > column), default=len(line))


def word_left(line: str, column: int) -> int:
    """Where the word before `column` begins."""
    return max((match.start() for match in _WORD.finditer(line, 0, column)), default=0)


def word_right(line: str, column: int) -> int:
    """Where the word after `column`, or the rest of the one there, ends."""
    match = _WORD.search(line, column)
    return match.end() if match else len(line)


def drawn(text: str, cell: int = 0) -> str:
    """`text` as it is drawn from `cell` of a line on: tabs as spaces, nothing that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character, _ in _cells(text, cell))


def width(text: str, cell: int = 0) -> int:
    """How many cells `text` takes from `cell` on."""
    return sum(cells for _, cells in _cells(text, cell))


def column_at_cell(line: str, cell: int) -> int:
    """Where a cursor stands in `line` that shall stand at `cell`, or as near before it as it can."""
    return _last_place(line, [cells for _, cells in _cells(line, 0)], cell)


def column_at_drawn(line: str, index: int) -> int:
    """Where a cursor stands in `line` that shall stand at character `index` of what is drawn."""
    return _last_place(line, [len(shown) for shown, _ in _cells(line, 0)], index)


def _last_place(line: str, sizes: list[int], most: int) -> int:
    """The last place of a cursor in `line` before which the characters' `sizes` are `most` together."""
    starts = [0, *accumulate(sizes)]
    return max((column for column in boundaries(line) if starts[column] <= most), default=0)


def _cells(text: str, cell: int) -> Iterator[tuple[str, int]]:
    """What each character is drawn as, and how many cells that takes."""
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
    """Whether `character` is a part of what a person takes for one with the character `before`."""
    return (
        category(character) in ("Mn", "Me", "Mc")
        or _JOINER in (before, character)
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
