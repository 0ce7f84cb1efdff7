"""What pygls leaves open: messages that are none, ids that are taken, answers to nobody, mistakes of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import pytest

from model_runtime.api import Chunk, CompletionRequest
from tests.lsp_server.fakes import EditorAndServer, FakeBackend
from tests.lsp_server.server.test_server import INLINE, A, at
from tests.lsp_server.wire import ErrorCode

SECRET = "tell_nobody"


class Failing(FakeBackend):
    """Fails with what it was asked."""

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        raise RuntimeError(f"no idea\nwhat follows {request.prefix}")
        yield


@pytest.mark.parametrize(
    "body",
    [
        b'[{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}]',
        b'{"jsonrpc": "2.0", "id": {}, "method": "shutdown"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": 3}',
        b'{"id": 1, "method": "shutdown"}',
        b'"shutdown"',
        b"3",
        b"null",
    ],
)
async def test_what_is_json_and_no_message_is_an_invalid_request(body: bytes) -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        await editor.start()
        editor.send(body)
        assert await editor.error("no/such/method") == ErrorCode.METHOD_NOT_FOUND
        [answer] = editor.answers_to(None)
    assert answer["error"]["code"] == ErrorCode.INVALID_REQUEST


async def test_an_id_that_is_taken_is_refused_and_the_first_request_is_answered_too() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        editor.send({"jsonrpc": "2.0", "id": "twice", "method": INLINE, "params": at(0, 0)})
        await backend.waiting.wait()
        editor.send({"jsonrpc": "2.0", "id": "twice", "method": "workspace/executeCommand", "params": {}})
        await editor.error("no/such/method")
        [refused] = [one for one in editor.received if one.get("id") == "twice"]
        editor.notify("textDocument/didClose", {"textDocument": A})
        await editor.error("no/such/method")
        assert refused["error"]["code"] == ErrorCode.INVALID_REQUEST
        answers = [one for one in editor.received if one.get("id") == "twice"]
        assert answers == [refused, {"jsonrpc": "2.0", "id": "twice", "result": None}]


async def test_a_mistake_of_ours_is_an_error_of_one_line() -> None:
    async with EditorAndServer(Failing()) as editor:
        await editor.start()
        editor.open("x = ")
        error = (await editor.ask(INLINE, at(0, 4))[1])["error"]
    assert error == {"code": ErrorCode.INTERNAL_ERROR, "message": "RuntimeError: no idea"}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"textDocument": A}, "position"),
        ({"textDocument": {}, "position": {"line": 0, "character": 0}}, "textDocument.uri"),
        ({"textDocument": A, "position": {"line": 0, "character": "0"}}, "position.character"),
        (at(0, 0, context={"selectedCompletionInfo": {"text": ""}}), "context.selectedCompletionInfo.range"),
    ],
)
async def test_what_is_wrong_with_parameters_is_named_by_its_path(params: object, named: str) -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        await editor.start()
        error = (await editor.ask(INLINE, params)[1])["error"]
    assert (error["code"], f"{named}:" in error["message"]) == (ErrorCode.INVALID_PARAMS, True)


async def test_an_object_in_a_message_that_looks_like_a_message_is_none() -> None:
    backend = FakeBackend("a")
    message = {"jsonrpc": "2.0", "id": 1, "method": "shutdown"}
    async with EditorAndServer(backend) as editor:
        await editor.start(initializationOptions={"maxTokens": 7}, trace=message)
        editor.open("\n#\n")
        editor.notify(
            "workspace/didChangeConfiguration", {"settings": {"fimble": {"topK": 5}, "other": message}}
        )
        assert (await editor.request(INLINE, at(0, 0)))["items"]
    assert (backend.requests[0].max_tokens, backend.requests[0].top_k) == (7, 5)


@pytest.mark.parametrize(
    "answer", [{"result": 3}, {"result": [{"maxTokens": 7}, 3]}, {"error": {}}, {"error": 3}]
)
async def test_an_answer_that_makes_no_sense_costs_that_answer(
    answer: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        editor.answers_questions = False
        await editor.start(capabilities={"workspace": {"configuration": True}})
        await editor.seen("workspace/configuration")
        [asked] = [one for one in editor.received if one.get("method") == "workspace/configuration"]
        ids: list[object] = [asked["id"], asked["id"], "unknown", None, []]
        for id_ in ids:
            editor.send({"jsonrpc": "2.0", "id": id_, **answer})
        editor.open("\n#\n")
        assert (await editor.request(INLINE, at(0, 0)))["items"]
        await editor.seen("window/logMessage")  # the model is loaded, as soon as the settings are known
        assert not editor.answers_to(None)
    assert not caplog.records


async def test_headers_are_read_as_http_has_them() -> None:
    body = b'{"jsonrpc": "2.0", "id": "by hand", "method": "no/such/method"}'
    both = EditorAndServer(FakeBackend())
    async with both as editor:
        await editor.start()
        both.feed(
            b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:%d\r\n\r\n"
            % len(body)
        )
        both.feed(body)
        await editor.error("no/such/method")
        [answer] = [one for one in editor.received if one.get("id") == "by hand"]
    assert answer["error"]["code"] == ErrorCode.METHOD_NOT_FOUND


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000])
async def test_what_is_not_the_protocol_ends_the_connection(data: bytes) -> None:
    both = EditorAndServer(FakeBackend())
    async with both:
        both.feed(data)
        assert await both.status() == 1


@pytest.mark.parametrize("data", [b"Content-Len", b"Content-Length: 9\r\n", b"Content-Length: 9\r\n\r\n{"])
async def test_an_editor_that_dies_in_the_middle_of_a_message_ends_the_server(data: bytes) -> None:
    both = EditorAndServer(FakeBackend())
    async with both as editor:
        await editor.start()
        both.feed(data)
        both.hang_up()
        assert await both.status() == 1


async def test_no_text_of_the_users_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = {"line": SECRET, "character": SECRET}
    changes = [{"text": 3, "range": {"start": place, "end": place}}, {"text": [SECRET]}, SECRET]
    for backend in (FakeBackend(SECRET), Failing()):
        async with EditorAndServer(backend) as editor:
            await editor.start()
            editor.open(f"{SECRET} = ")
            await editor.ask(INLINE, at(0, len(SECRET) + 3, partialResultToken="t"))[1]
            await editor.ask(INLINE, {"textDocument": SECRET, "position": SECRET})[1]
            await editor.ask("workspace/executeCommand", {"command": [SECRET]})[1]
            editor.notify("textDocument/didOpen", {"textDocument": {"uri": 3, "text": SECRET}})
            editor.notify("textDocument/didChange", {"textDocument": A, "contentChanges": changes})
            editor.send(b'{"' + SECRET.encode())
            editor.send({"jsonrpc": "2.0", "id": SECRET, "result": SECRET})
            await editor.error("no/such/method")
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


async def test_a_hundred_requests_at_once_are_answered_once_each() -> None:
    backend = FakeBackend("a")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        asked = [editor.ask(INLINE, at(0, 0)) for _ in range(100)]
        await asyncio.gather(*(answer for _, answer in asked))
        assert all(len(editor.answers_to(id_)) == 1 for id_, _ in asked)
