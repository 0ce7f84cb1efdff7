"""lsprotocol's positions and ranges as the document's, and back.

{completion, server} ▶ **positions** ▶ document.
"""

from __future__ import annotations

from lsprotocol import types

from lsp_server.document import Position, Range


def position_of(position: types.Position) -> Position:
    """What an editor calls a place, as a document calls it."""
    return Position(position.line, position.character)


def range_of(where: types.Range) -> Range:
    """What an editor calls a range, as a document calls it."""
    return Range(position_of(where.start), position_of(where.end))


def lsp_position(position: Position) -> types.Position:
    """`position` as LSP writes it."""
    return types.Position(position.line, position.character)


def lsp_range(where: Range) -> types.Range:
    """`where` as LSP writes it."""
    return types.Range(lsp_position(where.start), lsp_position(where.end))
