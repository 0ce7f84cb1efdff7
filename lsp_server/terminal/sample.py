"""The text that ``fimble try`` opens without a file: a few lines of Python with a gap at the cursor."""

from __future__ import annotations

from typing import Final

from lsp_server.terminal.files import OpenFile

_CURSOR: Final = "‸"
_TEXT: Final = '''\
"""Suggestions appear in grey. Tab accepts, Esc dismisses."""

import logging

log = ‸


def load(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        log.info("reading %s", path)
        return file.read()


def count_words(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
'''


def sample() -> OpenFile:
    """The sample, which is in no file yet."""
    cursor = _TEXT.index(_CURSOR)
    return OpenFile("sample.py", text=_TEXT.replace(_CURSOR, ""), cursor=cursor)
