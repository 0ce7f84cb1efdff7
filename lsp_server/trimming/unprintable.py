"""Ends a completion before characters that it must not bring into a document.

A small model may generate control characters, or U+FFFD, which stands for bytes that are not text. Format
characters, which have no width or change the direction of text, would put into a file what its author cannot
see (CVE-2021-42574). All of them are kept if the document already has them: Persian text and joined emoji
need joiners.
"""

from __future__ import annotations

from typing import Final
from unicodedata import category

_USUAL: Final = frozenset("\t\n\r")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's general categories: control, format, lone surrogate, and the separators of lines and paragraphs,
which are no line breaks in LSP."""


def until_unprintable(text: str, prefix: str, suffix: str) -> str:
    """`text` up to the first unprintable character that neither `prefix` nor `suffix` has."""
    for at, character in enumerate(text):
        if _is_unprintable(character) and character not in prefix and character not in suffix:
            return text[:at]
    return text


def _is_unprintable(character: str) -> bool:
    if character in _USUAL:
        return False
    return character == _REPLACEMENT or category(character) in _UNPRINTABLE
