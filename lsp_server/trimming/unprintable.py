"""Characters that a completion must not bring into a document: it ends before the first of them.

trim ▶ **unprintable**. A small model that has lost its way writes control characters, and U+FFFD, which
stands for bytes that were no text. Format characters, of no width or changing the direction of writing, would
put into a file what its author cannot see (CVE-2021-42574). All of these are kept where the document has them
already: somebody who writes Persian, or joins emoji, has the joiners, too.
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
