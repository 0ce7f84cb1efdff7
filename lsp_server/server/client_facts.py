"""What the server wants to know of its client.

connection ▶ **client_facts** ▶ protocol. Of what a client declares, what can't be read is ignored: that an
editor says something odd of its folds is no reason to refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lsprotocol import types

from lsp_server.document import PositionEncoding
from lsp_server.protocol import leniently
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
        client: types.InitializeParams = leniently(params, types.InitializeParams)
        capabilities = client.capabilities
        general = capabilities.general or types.GeneralClientCapabilities()
        window = capabilities.window or types.WindowClientCapabilities()
        workspace = capabilities.workspace or types.WorkspaceClientCapabilities()
        changes = workspace.did_change_configuration
        text_document = capabilities.text_document or types.TextDocumentClientCapabilities()
        roots = tuple(folder.uri for folder in client.workspace_folders or ())
        return cls(
            encoding=_first_known(general.position_encodings or ()),
            process_id=client.process_id,
            work_done_progress=window.work_done_progress or False,
            inline_completion=text_document.inline_completion is not None,
            markdown=_shows_markdown(text_document.completion),
            configuration=workspace.configuration or False,
            registers_configuration=changes is not None and changes.dynamic_registration is True,
            status=_experimental(capabilities, "fimbleStatus"),
            source=_experimental(capabilities, "fimbleSource"),
            roots=roots or ((client.root_uri,) if client.root_uri else ()),
            options=client.initialization_options,
        )

    def as_copilots(self) -> ClientFacts:
        """The same as one of Copilot's clients, of which much is known that they do not declare.

        They count in UTF-16 whatever they offer, and show ghost text. Their ``initializationOptions`` are
        meant for Copilot, but for the section that holds ours.
        """
        options = self.options.get(SECTION) if isinstance(self.options, Mapping) else None
        return replace(self, copilot=True, encoding="utf-16", inline_completion=True, options=options)


def _first_known(offered: Sequence[str]) -> PositionEncoding:
    """The position encoding that the client likes best of those that we know."""
    return next((known for name in offered for known in _ENCODINGS if name == known), "utf-16")


def _shows_markdown(popup: types.CompletionClientCapabilities | None) -> bool:
    """Whether pop-ups show Markdown; who says nothing of it (Helix) does."""
    item = popup.completion_item if popup else None
    formats = item.documentation_format if item else None
    return formats is None or types.MarkupKind.Markdown in formats


def _experimental(capabilities: types.ClientCapabilities, name: str) -> bool:
    """Whether a client asks for one of our own extensions."""
    experimental = capabilities.experimental  # other servers' may be of any type
    return isinstance(experimental, Mapping) and experimental.get(name) is True
