"""Ghost text: what a server proposes at a cursor, and what is left of it as the user goes on. Pure.

editor ▶ **ghost** ▶ document
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lsp_server.document import code_units, column_at

_WORD: Final = re.compile(r"\s*(?:\w+|[^\w\s]+)")


@dataclass(frozen=True)
class Ghost:
    """`text` would be inserted at the cursor, and take the place of the `covered` text after it.

    Lines of `text` end with ``\\n``, whatever those of the file end with. `item` is what the server sent.
    """

    text: str
    covered: str
    item: Mapping[str, Any]

    @property
    def id(self) -> object:
        """The server's name for it, which stays the same while it is typed."""
        return (self.item.get("command") or {}).get("arguments", [None])[0]

    @property
    def first_word(self) -> str:
        """The first word of it, with what stands before it; all of it if that is all that can be seen."""
        match = _WORD.match(self.text)
        word = match[0] if match else self.text
        rest = self.text[len(word) :]
        return self.text if not rest.strip() or rest == self.covered else word

    def after(self, typed: str) -> Ghost | None:
        """What is left when `typed` was typed; None where it says otherwise, or nothing is left."""
        if not self.text.startswith(typed):
            return None
        left = self.text[len(typed) :]
        return replace(self, text=left) if left.strip() and left != self.covered else None

    def accepted_units(self, word: str) -> int:
        """How much of the item is accepted once `word` is, in UTF-16 code units, as LSP counts."""
        return code_units(self.item["insertText"], "utf-16") - code_units(self.text[len(word) :], "utf-16")

    def parts(self) -> list[tuple[str, bool]]:
        """The line as it would be: each piece, and whether it is ghost text or stands there already."""
        parts: list[tuple[str, bool]] = []
        text = self.text
        for character in reversed(self.covered):
            before, found, after = text.rpartition(character)
            if not found:
                return [(self.text, True)]
            parts += [(after, True), (character, False)]
            text = before
        return [part for part in reversed([*parts, (text, True)]) if part[0]]


def read_item(item: Mapping[str, Any], line: str, column: int) -> Ghost | None:
    """An InlineCompletionItem for a cursor at `column` of `line`; None where it shows nothing there."""
    text = item["insertText"].replace("\r\n", "\n")
    start, end = column, column
    if "range" in item:
        start, end = (
            column_at(line, item["range"][edge]["character"], "utf-16") for edge in ("start", "end")
        )
    typed = line[start:column]
    if not text.startswith(typed) or not start <= column <= end:
        return None
    ghost = Ghost(text[len(typed) :], line[column:end], item)
    return ghost if ghost.after("") is not None else None


def grown(shown: Ghost | None, partial: Ghost | None) -> Ghost | None:
    """What is shown once an answer has come so far: what stood there before it, if that says the same."""
    if shown is not None and (partial is None or shown.text.startswith(partial.text)):
        return shown
    return partial
