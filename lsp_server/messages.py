"""LSP's parameters as values, and our values as LSP's results.

server ▶ **messages** ▶ fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lsp_server.document import Edit, Position, PositionEncoding, Range, Selection
from lsp_server.fields import field, position_in, range_in

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
    """What the server wants to know of its client; `copilot` says that it is one of Copilot's."""

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
    copilot: bool = False
    process_id: int | None = None

    @classmethod
    def decode(cls, params: object) -> ClientFacts:
        """From the parameters of ``initialize``."""
        process_id = field(params, "processId", object, None)
        capabilities = field(params, "capabilities", dict, {})
        offered = field(field(capabilities, "general", dict, {}), "positionEncodings", list, [])
        workspace = field(capabilities, "workspace", dict, {})
        changes = field(workspace, "didChangeConfiguration", dict, {})
        text_document = field(capabilities, "textDocument", dict, {})
        popup_item = field(field(text_document, "completion", dict, {}), "completionItem", dict, {})
        return cls(
            encoding=next((name for name in offered if name in _ENCODINGS), "utf-16"),
            work_done_progress=field(
                field(capabilities, "window", dict, {}), "workDoneProgress", bool, False
            ),
            inline_completion="inlineCompletion" in text_document,
            # Helix shows Markdown and does not say that it does.
            markdown="markdown" in field(popup_item, "documentationFormat", list, ["markdown"]),
            configuration=field(workspace, "configuration", bool, False),
            registers_configuration=field(changes, "dynamicRegistration", bool, False),
            status=_experimental(capabilities, "fimbleStatus"),
            source=_experimental(capabilities, "fimbleSource"),
            roots=_roots(params),
            options=field(params, "initializationOptions", object, None),
            process_id=process_id if type(process_id) is int else None,
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
        document = field(params, "textDocument", dict)
        return cls(
            uri=field(document, "uri", str),
            language=field(document, "languageId", str, ""),
            version=field(document, "version", int, 0),
            text=field(document, "text", str),
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
        document = field(params, "textDocument", dict)
        changes = field(params, "contentChanges", list)
        return cls(
            uri=field(document, "uri", str),
            version=field(document, "version", int, 0),
            edits=tuple(
                Edit(
                    text=field(change, "text", str),
                    where=None if field(change, "range", dict, None) is None else range_in(change, "range"),
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
        context = field(params, "context", dict, {})
        info = field(context, "selectedCompletionInfo", dict, None)
        return cls(
            uri=decode_uri(params),
            position=position_in(params, "position"),
            invoked=field(context, "triggerKind", int, None) == _INVOKED,
            selected=None if info is None else Selection(field(info, "text", str), range_in(info, "range")),
            partial_result_token=field(params, "partialResultToken", (int, str), None),
        )


@dataclass(frozen=True)
class Command:
    """``workspace/executeCommand``."""

    name: str
    arguments: tuple[object, ...]

    @classmethod
    def decode(cls, params: object) -> Command:
        """From the request's parameters."""
        return cls(field(params, "command", str), tuple(field(params, "arguments", list, [])))

    @property
    def argument(self) -> object:
        """The first argument, or None."""
        return self.arguments[0] if self.arguments else None


def decode_item_id(params: object) -> object:
    """Which of our items ``didShowCompletion`` or ``didPartiallyAcceptCompletion`` is about."""
    return Command.decode(field(field(params, "item", dict), "command", dict)).argument


def decode_accepted_length(params: object) -> int:
    """How many UTF-16 code units of an item's text ``didPartiallyAcceptCompletion`` says are accepted."""
    length: int = field(params, "acceptedLength", int)
    return length


def decode_uri(params: object) -> str:
    """The document that a message is about."""
    uri: str = field(field(params, "textDocument", dict), "uri", str)
    return uri


def _experimental(capabilities: object, name: str) -> bool:
    """Whether a client asks for one of our own extensions."""
    experimental = field(capabilities, "experimental", object, {})  # other servers' may be of any type
    return isinstance(experimental, Mapping) and experimental.get(name) is True


def _roots(params: object) -> tuple[str, ...]:
    """The URIs of the folders that are open in the editor."""
    root = field(params, "rootUri", str, None)
    folders = field(params, "workspaceFolders", list, [])
    return tuple(field(folder, "uri", str) for folder in folders) or ((root,) if root else ())


def encode_range(where: Range) -> dict[str, object]:
    """`where` as LSP writes it."""
    return {
        "start": {"line": where.start.line, "character": where.start.character},
        "end": {"line": where.end.line, "character": where.end.character},
    }
