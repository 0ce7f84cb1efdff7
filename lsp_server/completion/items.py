"""Converts suggestions to LSP's completion items.

Each item has a command with the suggestion's id. The editor runs the command when the item is accepted, and
sends it along when it reports that the item was shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

from lsprotocol import types

from lsp_server.completion.session import Suggestion
from lsp_server.document import Document, Position, PositionEncoding, Range, Selection, code_units
from lsp_server.protocol import ACCEPT, CompletionUsage, lsp_range
from lsp_server.trimming import Piece
from model_runtime.api import Usage


@dataclass(frozen=True)
class Target:
    """Where an item goes: it replaces the range `where` and begins with `typed`.

    `rest` is the text of the line after `where`, `before` the text before it (for pop-ups only). Lines of the
    document end with `line_end`.

    LSP recommends items that replace the word being typed. But some editors draw such ghost text over the
    rest of the line; so if there is text after the cursor, ghost text begins at the cursor.
    """

    where: Range
    typed: str
    rest: str
    encoding: PositionEncoding
    language: str = ""
    before: str = ""
    line_end: str = "\n"

    @classmethod
    def inline(cls, document: Document, cursor: Position, selected: Selection | None) -> Target:
        """The target of ghost text at `cursor`, or after a pop-up's selected item."""
        if selected is not None:
            where, typed = selected.where, selected.text
        elif document.rest_of_line(cursor).strip():
            where, typed = Range(cursor, cursor), ""
        else:
            return cls.word(document, cursor)
        rest = document.rest_of_line(where.end)
        return cls(where, typed, rest, document.encoding, line_end=document.line_end)

    @classmethod
    def word(cls, document: Document, cursor: Position) -> Target:
        """The target of pop-up items, which editors filter by the word being typed."""
        start, word = document.word_before(cursor)
        before = document.text_in(Range(Position(start.line, 0), start))
        where, rest = Range(start, cursor), document.rest_of_line(cursor)
        return cls(where, word, rest, document.encoding, document.language, before, document.line_end)

    @classmethod
    def line(cls, document: Document, cursor: Position) -> Target:
        """The target for clients that replace the whole line up to `cursor`."""
        where = Range(Position(cursor.line, 0), cursor)
        typed, rest = document.text_in(where), document.rest_of_line(cursor)
        return cls(where, typed, rest, document.encoding, line_end=document.line_end)

    def text_of(self, piece: Piece) -> str:
        """The text of `piece`, with the document's line ends."""
        return piece.text if self.line_end == "\n" else piece.text.replace("\n", self.line_end)

    def inline_item(self, suggestion: Suggestion) -> types.InlineCompletionItem:
        """An item for ghost text."""
        return types.InlineCompletionItem(
            insert_text=self.typed + self.text_of(suggestion.piece),
            range=lsp_range(self.covering(suggestion.piece)),
            command=_accept_command(suggestion),
        )

    def popup_item(self, suggestion: Suggestion, *, markdown: bool = False) -> types.CompletionItem:
        """An item for a pop-up. The label is its first line; the documentation has all, if it has several."""
        text = self.typed + suggestion.piece.text
        item = types.CompletionItem(
            label=text.strip().partition("\n")[0],
            kind=types.CompletionItemKind.Text,
            detail="fimble",
            text_edit=types.TextEdit(
                lsp_range(self.covering(suggestion.piece)), self.typed + self.text_of(suggestion.piece)
            ),
            insert_text_mode=types.InsertTextMode.AsIs,
            command=_accept_command(suggestion),
        )
        if "\n" in text:
            lines = dedent(self.before + text)
            item.documentation = _code_block(lines, self.language) if markdown else lines
        return item

    def covering(self, piece: Piece) -> Range:
        """The range that an item replaces, including text after the cursor that `piece` also contains."""
        end = self.where.end
        covered = code_units(self.rest[: piece.covers], self.encoding)
        return Range(self.where.start, Position(end.line, end.character + covered))


def item_usage(usage: Usage) -> CompletionUsage:
    """Convert `usage` to its protocol type."""
    return CompletionUsage(usage.prompt_tokens, usage.reused_tokens, usage.decoded_tokens)


def _code_block(code: str, language: str) -> types.MarkupContent:
    """`code` as Markdown, in a fence with more backticks than any run in the code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return types.MarkupContent(types.MarkupKind.Markdown, f"{fence}{language}\n{code}\n{fence}")


def _accept_command(suggestion: Suggestion) -> types.Command:
    return types.Command("Accept", ACCEPT, arguments=[suggestion.id])
