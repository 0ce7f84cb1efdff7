"""LSP's parameters as values, and our values as LSP's results.

server ▶ **messages**: decoding is strict about what is used and blind to the rest, since clients add fields
of their own. What is wrong is told by its path, as in ``position.line``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lsp_server.document import Edit, Position, PositionEncoding, Range, Selection
from lsp_server.jsonrpc import ErrorCode, RpcError

ProgressToken = int | str

ACCEPT: Final = "fimble.accept"
NEXT_MODEL: Final = "fimble.nextModel"
TOGGLE: Final = "fimble.toggle"
CLEAR_CACHE: Final = "fimble.clearCache"
COMMANDS: Final = (ACCEPT, NEXT_MODEL, TOGGLE, CLEAR_CACHE)

_INVOKED: Final = 1  # InlineCompletionTriggerKind
_ENCODINGS: Final[tuple[PositionEncoding, ...]] = ("utf-8", "utf-16", "utf-32")


@dataclass(frozen=True)
class ClientFacts:
    """What the server wants to know of its client."""

    encoding: PositionEncoding
    work_done_progress: bool = False
    inline_completion: bool = False
    markdown: bool = False
    configuration: bool = False
    registers_configuration: bool = False
    status: bool = False
    source: bool = False
    roots: tuple[str, ...] = ()
    options: object = None

    @classmethod
    def decode(cls, params: object) -> ClientFacts:
        """From the parameters of ``initialize``."""
        capabilities = _get(params, "capabilities", dict, {})
        offered = _get(_get(capabilities, "general", dict, {}), "positionEncodings", list, [])
        workspace = _get(capabilities, "workspace", dict, {})
        changes = _get(workspace, "didChangeConfiguration", dict, {})
        text_document = _get(capabilities, "textDocument", dict, {})
        popup_item = _get(_get(text_document, "completion", dict, {}), "completionItem", dict, {})
        return cls(
            encoding=next((name for name in offered if name in _ENCODINGS), "utf-16"),
            work_done_progress=_get(_get(capabilities, "window", dict, {}), "workDoneProgress", bool, False),
            inline_completion="inlineCompletion" in text_document,
            # Helix shows Markdown and does not say that it does.
            markdown="markdown" in _get(popup_item, "documentationFormat", list, ["markdown"]),
            configuration=_get(workspace, "configuration", bool, False),
            registers_configuration=_get(changes, "dynamicRegistration", bool, False),
            status=_experimental(capabilities, "fimbleStatus"),
            source=_experimental(capabilities, "fimbleSource"),
            roots=_roots(params),
            options=_get(params, "initializationOptions", object, None),
        )


@dataclass(frozen=True)
class OpenedDocument:
    """``textDocument/didOpen``."""

    uri: str
    language: str
    version: int
    text: str

    @classmethod
    def decode(cls, params: object) -> OpenedDocument:
        """From the notification's parameters."""
        document = _get(params, "textDocument", dict)
        return cls(
            uri=_get(document, "uri", str),
            language=_get(document, "languageId", str, ""),
            version=_get(document, "version", int, 0),
            text=_get(document, "text", str),
        )


@dataclass(frozen=True)
class ChangedDocument:
    """``textDocument/didChange``."""

    uri: str
    version: int
    edits: tuple[Edit, ...]

    @classmethod
    def decode(cls, params: object) -> ChangedDocument:
        """From the notification's parameters."""
        document = _get(params, "textDocument", dict)
        changes = _get(params, "contentChanges", list)
        return cls(
            uri=_get(document, "uri", str),
            version=_get(document, "version", int, 0),
            edits=tuple(
                Edit(
                    text=_get(change, "text", str),
                    where=None if _get(change, "range", dict, None) is None else _range(change, "range"),
                )
                for change in changes
            ),
        )


@dataclass(frozen=True)
class CompletionParams:
    """``textDocument/completion`` and ``textDocument/inlineCompletion``.

    `invoked` says that the user has asked for it by hand. A `partial_result_token` asks for the text as it
    grows, which is an extension of ours to LSP.
    """

    uri: str
    position: Position
    invoked: bool
    selected: Selection | None
    partial_result_token: ProgressToken | None

    @classmethod
    def decode(cls, params: object) -> CompletionParams:
        """From the request's parameters."""
        context = _get(params, "context", dict, {})
        info = _get(context, "selectedCompletionInfo", dict, None)
        return cls(
            uri=decode_uri(params),
            position=_position(_get(params, "position", dict), "position"),
            invoked=_get(context, "triggerKind", int, None) == _INVOKED,
            selected=None if info is None else Selection(_get(info, "text", str), _range(info, "range")),
            partial_result_token=_get(params, "partialResultToken", (int, str), None),
        )


@dataclass(frozen=True)
class Command:
    """``workspace/executeCommand``."""

    name: str
    arguments: tuple[object, ...]

    @classmethod
    def decode(cls, params: object) -> Command:
        """From the request's parameters."""
        return cls(_get(params, "command", str), tuple(_get(params, "arguments", list, [])))

    @property
    def argument(self) -> object:
        """The first argument, or None."""
        return self.arguments[0] if self.arguments else None


def decode_item_id(params: object) -> object:
    """Which of our items ``didShowCompletion`` or ``didPartiallyAcceptCompletion`` is about."""
    return Command.decode(_get(_get(params, "item", dict), "command", dict)).argument


def decode_accepted_length(params: object) -> int:
    """How many UTF-16 code units of an item's text ``didPartiallyAcceptCompletion`` says are accepted."""
    length: int = _get(params, "acceptedLength", int)
    return length


def decode_uri(params: object) -> str:
    """The document that a message is about."""
    uri: str = _get(_get(params, "textDocument", dict), "uri", str)
    return uri


def _experimental(capabilities: object, name: str) -> bool:
    """Whether a client asks for one of our own extensions."""
    experimental = _get(capabilities, "experimental", object, {})  # other servers' may be of any type
    return isinstance(experimental, Mapping) and experimental.get(name) is True


def _roots(params: object) -> tuple[str, ...]:
    """The URIs of the folders that are open in the editor."""
    root = _get(params, "rootUri", str, None)
    folders = _get(params, "workspaceFolders", list, [])
    return tuple(_get(folder, "uri", str) for folder in folders) or ((root,) if root else ())


def encode_range(where: Range) -> dict[str, object]:
    """`where` as LSP writes it."""
    return {
        "start": {"line": where.start.line, "character": where.start.character},
        "end": {"line": where.end.line, "character": where.end.character},
    }


def _range(params: object, key: str) -> Range:
    value = _get(params, key, dict)
    start = _position(_get(value, "start", dict), f"{key}.start")
    return Range(start, _position(_get(value, "end", dict), f"{key}.end"))


def _position(value: object, path: str) -> Position:
    line, character = _get(value, "line", int), _get(value, "character", int)
    if line < 0 or character < 0:
        raise _invalid(f"{path} is {line}:{character}, and positions count from 0")
    return Position(line, character)


_REQUIRED: Final = object()


def _get(params: object, key: str, kind: Any, default: Any = _REQUIRED) -> Any:
    """`params[key]`, which must be of `kind`; where it is absent or null, `default`."""
    if not isinstance(params, Mapping):
        raise _invalid(f"an object with {key!r} was expected, not {type(params).__name__}")
    value = params.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
        raise _invalid(f"{key!r} is missing or of the wrong type")
    return value


def _invalid(message: str) -> RpcError:
    return RpcError(ErrorCode.INVALID_PARAMS, f"invalid parameters: {message}")
