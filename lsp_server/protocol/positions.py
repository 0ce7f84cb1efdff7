"""Converts positions and ranges between lsprotocol's types and those of `lsp_server.document`."""

from __future__ import annotations

from lsprotocol import types

from lsp_server.document import Position, Range


def position_of(position: types.Position) -> Position:
    """Convert an LSP position to a document position."""
    return Position(position.line, position.character)


def range_of(where: types.Range) -> Range:
    """Convert an LSP range to a document range."""
    return Range(position_of(where.start), position_of(where.end))


def lsp_position(position: Position) -> types.Position:
    """Convert a document position to an LSP position."""
    return types.Position(position.line, position.character)


def lsp_range(where: Range) -> types.Range:
    """Convert a document range to an LSP range."""
    return types.Range(lsp_position(where.start), lsp_position(where.end))
