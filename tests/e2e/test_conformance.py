"""The server as somebody else's client sees it: pytest-lsp checks what we send against the specification."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

from tests.e2e.child import FIMBLE, ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.filterwarnings("error")]

URI = "file:///a.py"
TEXT = "def add(first, second):\n    '🎉'\n    return "
END = types.Position(2, 11)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(checkpoint_folder: Path) -> AsyncIterator[LanguageClient]:
    """A client of a running server, which has a document open."""
    client = make_test_lsp_client()
    await client.start_io(*FIMBLE, "serve", "--model", str(checkpoint_folder), cwd=ROOT)
    window = types.WindowClientCapabilities(work_done_progress=True)
    await client.initialize_session(
        types.InitializeParams(capabilities=types.ClientCapabilities(window=window))
    )
    document = types.TextDocumentItem(URI, "python", 1, TEXT)
    client.text_document_did_open(types.DidOpenTextDocumentParams(document))
    yield client
    await client.shutdown_session()
    await client.stop()  # type: ignore[no-untyped-call]


async def test_an_inline_completion_is_what_the_specification_says(client: LanguageClient) -> None:
    result = await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
            text_document=types.TextDocumentIdentifier(URI),
            position=END,
        )
    )
    assert isinstance(result, types.InlineCompletionList)
    assert [item.range for item in result.items] == [types.Range(END, END)] * len(result.items)


async def test_a_completion_is_what_the_specification_says(client: LanguageClient) -> None:
    result = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(URI), END)
    )
    assert isinstance(result, types.CompletionList)
    for item in result.items:
        assert isinstance(item.text_edit, types.TextEdit)
        assert item.text_edit.range == types.Range(END, END)


async def test_incremental_changes_are_accepted(client: LanguageClient) -> None:
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, URI),
            [
                types.TextDocumentContentChangePartial(types.Range(END, END), "first"),
                types.TextDocumentContentChangeWholeDocument(TEXT + "second\n"),
            ],
        )
    )
    result = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(2, 99))
    )
    assert isinstance(result, types.CompletionList)


async def test_loading_was_reported_as_work_done_progress(client: LanguageClient) -> None:
    [reports] = client.progress_reports.values()
    assert isinstance(reports[0], types.WorkDoneProgressBegin)
    assert isinstance(reports[-1], types.WorkDoneProgressEnd)
    assert client.messages == []
    assert [message.type for message in client.log_messages] == [types.MessageType.Info]
