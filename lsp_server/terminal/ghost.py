"""Ghost text: what an item of the server shows at the cursor, and what is left as the user types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lsp_server.document import code_units, column_at

_WORD: Final = re.compile(r"\s*(?:\w+|[^\w\s]+)")


@dataclass(frozen=True)
class Ghost:
    """`text` to insert at the cursor, in place of the `covered` text after it.

    Lines of `text` end with ``\\n``, whatever the file's end with. `item` is the server's item.
    """

    text: str
    covered: str
    item: Mapping[str, Any]

    @property
    def id(self) -> object:
        """The server's id of the suggestion, which stays the same while the user types it."""
        return (self.item.get("command") or {}).get("arguments", [None])[0]

    @property
    def first_word(self) -> str:
        """The first word, with the white space before it; the whole text if nothing visible follows."""
        match = _WORD.match(self.text)
        word = match[0] if match else self.text
        rest = self.text[len(word) :]
        return self.text if not rest.strip() or rest == self.covered else word

    def after(self, typed: str) -> Ghost | None:
        """The rest after `typed` was typed; None if it differs, or nothing is left."""
        if not self.text.startswith(typed):
            return None
        left = self.text[len(typed) :]
        return replace(self, text=left) if left.strip() and left != self.covered else None

    def accepted_units(self, word: str) -> int:
        """How much of the item is accepted with `word`, in UTF-16 code units."""
        return code_units(self.item["insertText"], "utf-16") - code_units(self.text[len(word) :], "utf-16")

    def parts(self) -> list[tuple[str, bool]]:
        """The ghost text and the covered text in their order: pieces, and whether each is ghost text."""
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
    """The ghost text of an InlineCompletionItem at `column` of `line`; None if it shows nothing there."""
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


def latest(shown: Ghost | None, partial: Ghost | None) -> Ghost | None:
    """The ghost text to show after a `partial` answer: the `shown` one if it begins with that."""
    if shown is not None and (partial is None or shown.text.startswith(partial.text)):
        return shown
    return partial
