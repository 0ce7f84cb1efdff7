"""What stands in a message's parameters.

messages ▶ **fields**: decoding is strict about what is used and blind to the rest, since clients add fields
of their own. What is wrong is told by its path, as in ``position.line``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lsp_server.document import Position, Range
from lsp_server.protocol.jsonrpc import ErrorCode, RpcError

_REQUIRED: Final = object()


def field(params: object, key: str, kind: Any, default: Any = _REQUIRED) -> Any:
    """`params[key]`, which must be of `kind`; where it is absent or null, `default`.

    Raises:
        RpcError: it is missing or of another type.
    """
    if not isinstance(params, Mapping):
        raise _invalid(f"an object with {key!r} was expected, not {type(params).__name__}")
    value = params.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
        raise _invalid(f"{key!r} is missing or of the wrong type")
    return value


def position_in(params: object, key: str, path: str | None = None) -> Position:
    """The position `params[key]`; `path` is what a mistake in it is called by.

    Raises:
        RpcError: it is missing, or no position.
    """
    value = field(params, key, dict)
    line, character = field(value, "line", int), field(value, "character", int)
    if line < 0 or character < 0:
        raise _invalid(f"{path or key} is {line}:{character}, and positions count from 0")
    return Position(line, character)


def range_in(params: object, key: str) -> Range:
    """The range `params[key]`.

    Raises:
        RpcError: it is missing, or no range.
    """
    value = field(params, key, dict)
    return Range(position_in(value, "start", f"{key}.start"), position_in(value, "end", f"{key}.end"))


def _invalid(message: str) -> RpcError:
    return RpcError(ErrorCode.INVALID_PARAMS, f"invalid parameters: {message}")
