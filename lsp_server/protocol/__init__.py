"""JSON-RPC and LSP on one connection: framing, requests and answers, parameters and results."""

from lsp_server.protocol.fields import field, position_in
from lsp_server.protocol.jsonrpc import ErrorCode, NotificationHandler, Peer, RpcError
from lsp_server.protocol.messages import (
    ACCEPT,
    CLEAR_CACHE,
    COMMANDS,
    NEXT_MODEL,
    TOGGLE,
    ChangedDocument,
    ClientFacts,
    Command,
    CompletionParams,
    OpenedDocument,
    decode_accepted_length,
    decode_item_id,
    decode_uri,
    encode_range,
)
from lsp_server.protocol.transport import FramingError, Stdio, framed, read_message

__all__ = [
    "ACCEPT",
    "CLEAR_CACHE",
    "COMMANDS",
    "NEXT_MODEL",
    "TOGGLE",
    "ChangedDocument",
    "ClientFacts",
    "Command",
    "CompletionParams",
    "ErrorCode",
    "FramingError",
    "NotificationHandler",
    "OpenedDocument",
    "Peer",
    "RpcError",
    "Stdio",
    "decode_accepted_length",
    "decode_item_id",
    "decode_uri",
    "encode_range",
    "field",
    "framed",
    "position_in",
    "read_message",
]
