"""The colours of a text, found for the lines that are drawn.

drawing ▶ **colours** ▶ Pygments. A key must not wait for the colours of what can't be seen, so a long text is
read from the definition above the screen on, or a few screens above it; in a long string that may be wrong.
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

_FURTHEST: Final = 200
_DEFINITION: Final = re.compile(r"\s*(async\s+def|def|class|function|fn|func)\s")


class Colours:
    """Those of a file, whose name says what is in it."""

    def __init__(self, name: str) -> None:
        try:
            self._lexer = get_lexer_for_filename(name)
        except ClassNotFound:
            self._lexer = TextLexer()
        self._key = (-1, 0, 0)
        self._first = 0
        self._lines: list[StyleAndTextTuples] = []

    def see(self, buffer: Buffer, first: int, last: int) -> None:
        """The lines from `first` to `last` may be drawn."""
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
        """One of the lines that may be drawn, as pieces with their styles."""
        return self._lines[number - self._first]


def _start(buffer: Buffer, first: int) -> int:
    """Where to begin to read, to know what is in line `first`."""
    furthest = max(first - _FURTHEST, 0)
    if furthest:
        for number in range(first, furthest, -1):
            if _DEFINITION.match(buffer.line(number)):
                return number
    return furthest
