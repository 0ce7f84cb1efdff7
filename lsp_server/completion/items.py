"""Completions as the editor shows them: LSP's items.

handlers ▶ **items** ▶ {session, document, protocol}. Each item carries a command with its id. An editor
runs it when the item is accepted, and names it when one was shown.
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
    """Where an item goes: it replaces what is at `where`, begins with `typed`, and `rest` follows it.

    `before` is what else stands on the line.

    LSP prefers items that replace the word being typed to such that are inserted after it. But some editors
    draw those over the rest of the line, so where there is one they begin at the cursor.
    """

    where: Range
    typed: str
    rest: str
    encoding: PositionEncoding
    language: str = ""
    before: str = ""

    @classmethod
    def inline(cls, document: Document, cursor: Position, selected: Selection | None) -> Target:
        """For ghost text at `cursor`, or after a pop-up's selected item."""
        if selected is not None:
            where, typed = selected.where, selected.text
        elif document.rest_of_line(cursor).strip():
            where, typed = Range(cursor, cursor), ""
        else:
            return cls.word(document, cursor)
        return cls(where, typed, document.rest_of_line(where.end), document.encoding)

    @classmethod
    def word(cls, document: Document, cursor: Position) -> Target:
        """For a pop-up, whose items editors sift by the word that is being typed."""
        start, word = document.word_before(cursor)
        before = document.text_in(Range(Position(start.line, 0), start))
        where, rest = Range(start, cursor), document.rest_of_line(cursor)
        return cls(where, word, rest, document.encoding, document.language, before)

    @classmethod
    def line(cls, document: Document, cursor: Position) -> Target:
        """For clients that take the line up to `cursor` away and insert it anew."""
        where = Range(Position(cursor.line, 0), cursor)
        return cls(where, document.text_in(where), document.rest_of_line(cursor), document.encoding)

    def inline_item(self, suggestion: Suggestion) -> types.InlineCompletionItem:
        """`suggestion` as ghost text."""
        return types.InlineCompletionItem(
            insert_text=self.typed + suggestion.piece.text,
            range=lsp_range(self.covering(suggestion.piece)),
            command=_command(suggestion),
        )

    def popup_item(self, suggestion: Suggestion, *, markdown: bool = False) -> types.CompletionItem:
        """`suggestion` in a list. Its label has room for one line; of several, all are documentation."""
        text = self.typed + suggestion.piece.text
        item = types.CompletionItem(
            label=text.strip().partition("\n")[0],
            kind=types.CompletionItemKind.Text,
            detail="fimble",
            text_edit=types.TextEdit(lsp_range(self.covering(suggestion.piece)), text),
            insert_text_mode=types.InsertTextMode.AsIs,
            command=_command(suggestion),
        )
        if "\n" in text:
            lines = dedent(self.before + text)
            item.documentation = _fenced(lines, self.language) if markdown else lines
        return item

    def covering(self, piece: Piece) -> Range:
        """What an item replaces: also what stands behind the cursor and `piece` brings along itself."""
        end = self.where.end
        covered = code_units(self.rest[: piece.covers], self.encoding)
        return Range(self.where.start, Position(end.line, end.character + covered))


def item_usage(usage: Usage) -> CompletionUsage:
    """What was computed, for clients that are told the source."""
    return CompletionUsage(usage.prompt_tokens, usage.reused_tokens, usage.decoded_tokens)


def _fenced(code: str, language: str) -> types.MarkupContent:
    """Markdown, with more backticks around `code` than there are in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return types.MarkupContent(types.MarkupKind.Markdown, f"{fence}{language}\n{code}\n{fence}")


def _command(suggestion: Suggestion) -> types.Command:
    return types.Command("Accept", ACCEPT, arguments=[suggestion.id])
