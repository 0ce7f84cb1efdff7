"""Blocks that a word closes, as Ruby's and Lua's ``end`` does: where they open, go on and end."""

from __future__ import annotations

import re
from typing import Final

_LANGUAGES: Final = frozenset({"ruby", "lua", "elixir", "julia", "crystal"})
_OPENS: Final = re.compile(
    r"(?:def|defp|defmodule|class|module|if|unless|while|until|case|for|begin|function|local\s+function"
    r"|struct|mutable\s+struct|macro|let|quote)\b(?!.*(?:\bend\b|\bdo:|\)\s*=\s))"
)
_OPENS_AT_END: Final = re.compile(r"(?:\b(?:do(?:\s*\|[^|]*\|)?|then|repeat|function\s*\([^()]*\))|->)\s*\Z")
_GOES_ON: Final = ("else", "elsif", "elseif", "elif", "when", "rescue", "ensure", "catch", "finally", "after")
_CLOSES: Final = ("end", "until")
_WORD: Final = re.compile(r"\w*")


def has_end_blocks(language: str) -> bool:
    """Whether a word closes blocks in `language`."""
    return language in _LANGUAGES


def opens_block(line: str) -> bool:
    """Whether `line`, whose strings and comments are masked, opens a block that a word closes."""
    body = line.strip()
    return bool(_OPENS.match(body) or _OPENS_AT_END.search(body))


def goes_on(line: str) -> bool:
    """Whether `line` is in the block of the line above it that is indented as it is: ``else``, ``rescue``."""
    return _first_word(line) in _GOES_ON


def closes_block(line: str) -> bool:
    """Whether `line` ends a block."""
    return _first_word(line) in _CLOSES


def may_belong(partial: str) -> bool:
    """Whether a line that begins with `partial` may go on with a block or close it."""
    word = _first_word(partial)
    return word == partial.strip() and any(one.startswith(word) for one in (*_GOES_ON, *_CLOSES))


def _first_word(line: str) -> str:
    match = _WORD.match(line.strip())
    return match[0] if match else ""
