"""What the server wants to know of its client.

connection ▶ **client_facts**. That is a dozen of the hundreds of things that clients declare. So they are
looked up and nothing is structured: what an editor says of its folds, however odd, is no reason to refuse it,
and what can't be understood counts as not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lsprotocol import types

from lsp_server.document import PositionEncoding
from lsp_server.server.configuration import SECTION

_ENCODINGS: Final[tuple[PositionEncoding, ...]] = ("utf-8", "utf-16", "utf-32")


@dataclass(frozen=True)
class ClientFacts:
    """What an editor can do and has; `copilot` says that it is one of Copilot's.

    `process_id` is the editor's process, whose end is ours, where it says so. `roots` are the URIs of the
    folders that are open in it, `options` its ``initializationOptions``.
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
        """From the parameters of ``initialize`` as they came."""
        offered = _listed(params, "capabilities", "general", "positionEncodings")
        folders = _listed(params, "workspaceFolders")
        roots = [said(folder, "uri") for folder in folders] or [said(params, "rootUri")]
        workspace, text_document, experimental = (
            said(params, "capabilities", name) for name in ("workspace", "textDocument", "experimental")
        )
        formats = said(text_document, "completion", "completionItem", "documentationFormat")
        process_id = said(params, "processId")
        return cls(
            encoding=next((known for name in offered for known in _ENCODINGS if name == known), "utf-16"),
            process_id=process_id if type(process_id) is int else None,
            work_done_progress=said(params, "capabilities", "window", "workDoneProgress") is True,
            inline_completion=said(text_document, "inlineCompletion") is not None,
            # Helix shows Markdown and does not say that it does.
            markdown=not isinstance(formats, list) or types.MarkupKind.Markdown in formats,
            configuration=said(workspace, "configuration") is True,
            registers_configuration=said(workspace, "didChangeConfiguration", "dynamicRegistration") is True,
            status=said(experimental, "fimbleStatus") is True,
            source=said(experimental, "fimbleSource") is True,
            roots=tuple(root for root in roots if isinstance(root, str) and root),
            options=said(params, "initializationOptions"),
        )

    def as_copilots(self) -> ClientFacts:
        """The same as one of Copilot's clients, of which much is known that they do not declare.

        They count in UTF-16 whatever they offer, and show ghost text. Their ``initializationOptions`` are
        meant for Copilot, but for the section that holds ours.
        """
        options = said(self.options, SECTION)
        return replace(self, copilot=True, encoding="utf-16", inline_completion=True, options=options)


def said(value: object, *path: str) -> object:
    """What stands at `path` in a JSON value, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _listed(value: object, *path: str) -> list[object]:
    found = said(value, *path)
    return found if isinstance(found, list) else []
