"""What the server needs to know about its client, from the parameters of ``initialize``.

Only the dozen values that matter are looked up, instead of validating hundreds: a malformed capability that
the server does not use must not make ``initialize`` fail. A malformed value that it does use counts as
absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lsprotocol import types

from lsp_server.document import PositionEncoding
from lsp_server.settings import SECTION

_ENCODINGS: Final[tuple[PositionEncoding, ...]] = ("utf-8", "utf-16", "utf-32")


@dataclass(frozen=True)
class ClientFacts:
    """The capabilities and parameters of an editor; `copilot` is set for Copilot clients.

    The server exits when the process `process_id`, if given, has ended. `roots` are the URIs of the editor's
    workspace folders, `options` are its ``initializationOptions``.
    """

    encoding: PositionEncoding
    process_id: int | None = None
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

    @classmethod
    def of(cls, params: object) -> ClientFacts:
        """Read the facts from the parameters of ``initialize``, as plain JSON."""
        offered = _lookup_list(params, "capabilities", "general", "positionEncodings")
        folders = _lookup_list(params, "workspaceFolders")
        roots = [lookup(folder, "uri") for folder in folders] or [lookup(params, "rootUri")]
        workspace, text_document, experimental = (
            lookup(params, "capabilities", name) for name in ("workspace", "textDocument", "experimental")
        )
        formats = lookup(text_document, "completion", "completionItem", "documentationFormat")
        process_id = lookup(params, "processId")
        return cls(
            encoding=next((known for name in offered for known in _ENCODINGS if name == known), "utf-16"),
            process_id=process_id if type(process_id) is int else None,
            work_done_progress=lookup(params, "capabilities", "window", "workDoneProgress") is True,
            inline_completion=lookup(text_document, "inlineCompletion") is not None,
            # Helix shows Markdown without declaring it.
            markdown=not isinstance(formats, list) or types.MarkupKind.Markdown in formats,
            configuration=lookup(workspace, "configuration") is True,
            registers_configuration=lookup(workspace, "didChangeConfiguration", "dynamicRegistration")
            is True,
            status=lookup(experimental, "fimbleStatus") is True,
            source=lookup(experimental, "fimbleSource") is True,
            roots=tuple(root for root in roots if isinstance(root, str) and root),
            options=lookup(params, "initializationOptions"),
        )

    def as_copilot_client(self) -> ClientFacts:
        """The same facts for a Copilot client, with what is known about such clients but not declared.

        They count in UTF-16 whatever they offer, and show ghost text. Their ``initializationOptions`` are
        meant for Copilot, except for the section ``fimble``.
        """
        options = lookup(self.options, SECTION)
        return replace(self, copilot=True, encoding="utf-16", inline_completion=True, options=options)


def lookup(value: object, *path: str) -> object:
    """The value at `path` in a JSON value, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _lookup_list(value: object, *path: str) -> list[object]:
    found = lookup(value, *path)
    return found if isinstance(found, list) else []
