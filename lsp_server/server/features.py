"""What an initialized editor may say, and who does what it asks.

connection ▶ **features** ▶ {workspace, completion, copilot}. One handler for each method, registered with
pygls. What no handler needs to know of a message is not looked at, so that clients may differ in it.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.server import JsonRPCServer

from lsp_server.protocol import (
    DID_ACCEPT_PART,
    DID_FOCUS,
    DID_SHOW,
    DidFocusParams,
    DidPartiallyAcceptCompletionParams,
    DidShowCompletionParams,
    InlineCompletionList,
    InlineCompletionParams,
)
from lsp_server.server.workspace import Workspace


def register(server: JsonRPCServer, workspace: Workspace) -> None:
    """Have `workspace` answer what comes to `server`."""
    _register_documents(server, workspace)
    _register_completions(server, workspace)

    @server.feature(types.INITIALIZED)
    def initialized(params: Any) -> None:
        workspace.begin()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def did_change_configuration(params: Any) -> None:
        workspace.configure(params)

    @server.feature(types.WORKSPACE_EXECUTE_COMMAND)
    async def execute_command(params: types.ExecuteCommandParams) -> object:
        return await workspace.execute(params)

    if workspace.copilot is not None:
        workspace.copilot.register(server)


def _register_documents(server: JsonRPCServer, workspace: Workspace) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        workspace.open(params.text_document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        workspace.edit(params.text_document, params.content_changes)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(params: types.DidSaveTextDocumentParams) -> None:
        workspace.context.saved(params.text_document.uri)

    @server.feature(DID_FOCUS)
    def did_focus(params: DidFocusParams) -> None:
        workspace.context.focused(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        workspace.close_document(params.text_document.uri)


def _register_completions(server: JsonRPCServer, workspace: Workspace) -> None:
    completing = workspace.completing

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION)
    async def inline_completion(params: InlineCompletionParams) -> InlineCompletionList | None:
        return await completing.inline(params)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION)
    async def completion(params: types.TextDocumentPositionParams) -> types.CompletionList | None:
        return await completing.popup(params)

    @server.feature(DID_SHOW)
    def did_show(params: DidShowCompletionParams) -> None:
        completing.note_shown(params.item.id)

    @server.feature(DID_ACCEPT_PART)
    def did_partially_accept(params: DidPartiallyAcceptCompletionParams) -> None:
        completing.accept_part(params.item.id, params.accepted_length)
