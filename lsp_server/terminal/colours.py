"""Syntax highlighting with Pygments, for the lines on the screen.

Highlighting a long text at every key would be slow, so it begins at the definition above the screen, or a few
screens above it; inside a long string that may give wrong colours.
"""

from __future__ import annotations

import re
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.styles.pygments import pygments_token_to_classname
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

from lsp_server.terminal.buffer import Buffer

_MAX_LINES_BACK: Final = 200
_DEFINITION: Final = re.compile(r"\s*(async\s+def|def|class|function|fn|func)\s")


class Colours:
    """Highlights a file, whose name tells the language."""

    def __init__(self, name: str) -> None:
        try:
            self._lexer = get_lexer_for_filename(name)
        except ClassNotFound:
            self._lexer = TextLexer()
        self._key = (-1, 0, 0)
        self._first = 0
        self._lines: list[StyleAndTextTuples] = []

    def prepare(self, buffer: Buffer, first: int, last: int) -> None:
        """Highlight the lines from `first` to `last`."""
        first, last = max(first, 0), min(last, buffer.line_count - 1)
        if self._key == (buffer.revision, first, last):
            return
        self._key = (buffer.revision, first, last)
        self._first = _start(buffer, first)
        text = "\n".join(buffer.line(number) for number in range(self._first, last + 1))
        pieces: StyleAndTextTuples = [
            (f"class:{pygments_token_to_classname(token)}", piece)
            for _, token, piece in self._lexer.get_tokens_unprocessed(text)
        ]
        self._lines = list(split_lines(pieces))

    def line(self, number: int) -> StyleAndTextTuples:
        """One of the prepared lines, as pieces with styles."""
        return self._lines[number - self._first]


def _start(buffer: Buffer, first: int) -> int:
    """The line to begin highlighting at, to get line `first` right."""
    furthest = max(first - _MAX_LINES_BACK, 0)
    if furthest:
        for number in range(first, furthest, -1):
            if _DEFINITION.match(buffer.line(number)):
                return number
    return furthest
