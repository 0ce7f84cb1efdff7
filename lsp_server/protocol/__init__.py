"""Strict JSON-RPC on top of pygls, message types on top of lsprotocol, and the byte streams below them."""

from lsp_server.protocol.conversion import converter
from lsp_server.protocol.extensions import (
    ACCEPT,
    CLEAR_CACHE,
    COMMANDS,
    DID_ACCEPT_PART,
    DID_FOCUS,
    DID_SHOW,
    NEXT_MODEL,
    STATUS,
    TOGGLE,
    CompletionUsage,
    DidFocusParams,
    DidPartiallyAcceptCompletionParams,
    DidShowCompletionParams,
    InlineCompletionList,
    InlineCompletionParams,
    StatusParams,
)
from lsp_server.protocol.positions import lsp_position, lsp_range, position_of, range_of
from lsp_server.protocol.streams import Stdio
from lsp_server.protocol.strict import StrictProtocol

__all__ = [
    "ACCEPT",
    "CLEAR_CACHE",
    "COMMANDS",
    "DID_ACCEPT_PART",
    "DID_FOCUS",
    "DID_SHOW",
    "NEXT_MODEL",
    "STATUS",
    "TOGGLE",
    "CompletionUsage",
    "DidFocusParams",
    "DidPartiallyAcceptCompletionParams",
    "DidShowCompletionParams",
    "InlineCompletionList",
    "InlineCompletionParams",
    "StatusParams",
    "Stdio",
    "StrictProtocol",
    "converter",
    "lsp_position",
    "lsp_range",
    "position_of",
    "range_of",
]
