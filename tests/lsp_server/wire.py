"""JSON-RPC on the wire, by hand: what the server says is read without the code that says it."""

from __future__ import annotations

import asyncio
import re
from enum import IntEnum


class ErrorCode(IntEnum):
    """The codes of JSON-RPC and LSP that the server uses."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_NOT_INITIALIZED = -32002
    REQUEST_CANCELLED = -32800


def framed(body: bytes) -> bytes:
    """`body` as it goes over the wire."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next message, or None at the end of input."""
    try:
        header = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"^Content-Length: (\d+)\r$", header, re.MULTILINE)
        assert length, header
        return await reader.readexactly(int(length[1]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
