"""What a client declares is taken as far as it can be read, and the rest of it left alone."""

from __future__ import annotations

import pytest

from lsp_server.server.client_facts import ClientFacts
from tests.lsp_server.fakes import EditorAndServer, FakeBackend
from tests.lsp_server.server.test_server import INLINE, A, at

ODD = [
    {"general": []},
    {"general": 3, "window": "yes", "workspace": None},
    {"general": {"positionEncodings": 3, "staleRequestSupport": "?"}},
    {"textDocument": {"foldingRange": 7, "completion": {"completionItem": {"tagSupport": [1]}}}},
    {"textDocument": []},
    {"workspace": {"workspaceFolders": {}, "symbol": {"symbolKind": {"valueSet": [1, 999]}}}},
    {"experimental": []},
    [],
    None,
    False,
]


@pytest.mark.parametrize("capabilities", ODD)
async def test_odd_capabilities_do_not_keep_an_editor_from_completions(capabilities: object) -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        result = await editor.request("initialize", {"processId": "?", "capabilities": capabilities})
        editor.notify("initialized")
        editor.open("\n#\n")
        assert (await editor.request(INLINE, at(0, 0)))["items"]
    assert result["capabilities"]["positionEncoding"] == "utf-16"


@pytest.mark.parametrize(
    "params",
    [None, [], {}, {"capabilities": {}, "workspaceFolders": False, "rootUri": 3, "clientInfo": "me"}],
)
async def test_odd_parameters_do_not_either(params: object) -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        assert (await editor.request("initialize", params))["serverInfo"]["name"] == "fimble"
        editor.open("\n#\n")
        assert (await editor.request(INLINE, at(0, 0)))["items"]


@pytest.mark.parametrize(
    "root", ["file://C:\\work\\[app]\\src", "file://[", "http://[::1", "%%%", "file:///%zz"]
)
async def test_a_root_that_is_no_uri_is_no_root(root: str) -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.request("initialize", {"capabilities": {}, "rootUri": root})
        editor.notify("initialized")
        editor.open("\n#\n")
        assert (await editor.request(INLINE, at(0, 0)))["items"]


async def test_a_document_may_be_spelled_differently_in_each_message() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        item = {"uri": "file:///c%3A/a b.py", "languageId": "python", "version": 1, "text": "\n#\n"}
        editor.notify("textDocument/didOpen", {"textDocument": item})
        asked = {**at(0, 0), "textDocument": {"uri": "file:///C:/a%20b.py"}}
        assert (await editor.request(INLINE, asked))["items"]


def test_what_can_be_read_beside_what_can_not_counts() -> None:
    facts = ClientFacts.of(
        {
            "processId": 7,
            "capabilities": {
                "general": {"positionEncodings": [None, "utf-7", "utf-8", "utf-16"], "regularExpressions": 3},
                "window": {"workDoneProgress": True, "showDocument": []},
                "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
                "textDocument": {
                    "inlineCompletion": [],
                    "synchronization": "full",
                    "completion": {"completionItem": {"documentationFormat": ["html", "plaintext"]}},
                },
                "experimental": {"fimbleStatus": True, "fimbleSource": "yes"},
            },
            "workspaceFolders": [{"uri": "file:///a", "name": "a"}, {"uri": "file:///b"}, {"name": "c"}, 3],
        }
    )
    assert facts == ClientFacts(
        encoding="utf-8",
        process_id=7,
        work_done_progress=True,
        inline_completion=True,
        markdown=False,
        configuration=True,
        registers_configuration=True,
        status=True,
        source=False,
        roots=("file:///a", "file:///b"),
    )


async def test_what_clients_leave_out_or_overdo_is_understood() -> None:
    backend = FakeBackend("a")
    end = {"line": 2**40, "character": 2**40}
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.notify("textDocument/didOpen", {"textDocument": {**A, "text": "old", "version": None}})
        change = {"textDocument": A, "contentChanges": [{"range": None, "text": "new"}]}
        editor.notify("textDocument/didChange", change)
        change = {"textDocument": A, "contentChanges": [{"range": {"start": end, "end": end}, "text": "er"}]}
        editor.notify("textDocument/didChange", change)
        contexts: list[dict[str, object]] = [
            {},
            {"context": None},
            {"context": {}},
            {"context": {"triggerKind": 9}},
        ]
        for more in contexts:
            position = {"line": 2**40, "character": 2**40}
            params = {"textDocument": A, "position": position, "workDoneToken": None, **more}
            assert len((await editor.request(INLINE, params))["items"]) == 1
        popup = {"textDocument": A, "position": position, "context": {"triggerKind": 0}}
        assert (await editor.request("textDocument/completion", popup))["items"]
    assert backend.requests[0].prefix == "newer"
