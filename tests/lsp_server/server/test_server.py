"""The server: every request gets exactly one answer, whatever the editor and the model do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsp_server.settings import Settings
from lsp_server.statistics.metrics import Metrics
from lsp_server.statistics.store import CountStore
from model_runtime.api import Chunk, CompletionRequest, LoadProgress, ModelInfo, ModelNotFound
from tests.lsp_server.fakes import EditorAndServer, FakeBackend
from tests.lsp_server.wire import ErrorCode

A = {"uri": "file:///a.py"}
INLINE = "textDocument/inlineCompletion"


def at(line: int, character: int, **more: object) -> dict[str, object]:
    position = {"line": line, "character": character}
    return {"textDocument": A, "position": position, "context": {"triggerKind": 2}, **more}


async def test_the_server_says_what_it_can_do_and_who_it_is() -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        result = await editor.request("initialize", {"capabilities": {}})
    assert result["serverInfo"]["name"] == "fimble"
    assert result["capabilities"] == {
        "positionEncoding": "utf-16",
        "textDocumentSync": {"openClose": True, "change": 2, "save": True},
        "inlineCompletionProvider": {},
        "executeCommandProvider": {
            "commands": ["fimble.accept", "fimble.nextModel", "fimble.toggle", "fimble.clearCache"]
        },
        "completionProvider": {"triggerCharacters": [".", "(", "[", "{"]},
    }


async def test_an_editor_with_ghost_text_is_not_offered_the_same_as_a_pop_up() -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        capabilities = await editor.start(capabilities={"textDocument": {"inlineCompletion": {}}})
    assert "completionProvider" not in capabilities


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["utf-8", "utf-16"], "utf-8"), (["utf-32"], "utf-32"), (["utf-7", "utf-16"], "utf-16"), ([], "utf-16")],
)
async def test_the_first_position_encoding_that_is_known_is_chosen(offered: list[str], chosen: str) -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        capabilities = await editor.start(capabilities={"general": {"positionEncodings": offered}})
    assert capabilities["positionEncoding"] == chosen


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 10), ("utf-16", 8), ("utf-32", 7)])
async def test_positions_are_read_in_the_encoding_agreed_on(encoding: str, character: int) -> None:
    backend = FakeBackend("x")
    async with EditorAndServer(backend) as editor:
        await editor.start(capabilities={"general": {"positionEncodings": [encoding]}})
        editor.open("a = '🎉'\n")
        await editor.request(INLINE, at(0, character))
    assert backend.requests[0].prefix == "a = '🎉'"


async def test_a_completion_is_one_item_at_the_cursor() -> None:
    async with EditorAndServer(FakeBackend("a + b")) as editor:
        await editor.start()
        editor.open("return \n")
        result = await editor.request(INLINE, at(0, 7))
    here = {"line": 0, "character": 7}
    [item] = result["items"]
    assert (item["insertText"], item["range"]) == ("a + b", {"start": here, "end": here})
    assert item["command"]["command"] == "fimble.accept"


async def test_a_language_that_is_switched_off_gets_nothing_until_it_is_switched_on() -> None:
    async with EditorAndServer(FakeBackend("a + b")) as editor:
        await editor.start(initializationOptions={"languages": {"python": False}})
        editor.open("return \n")
        assert (await editor.request(INLINE, at(0, 7)))["items"] == []
        settings = {"settings": {"fimble": {"languages": {"markdown": False}}}}
        editor.notify("workspace/didChangeConfiguration", settings)
        assert (await editor.request(INLINE, at(0, 7)))["items"]


async def test_an_item_replaces_the_word_being_typed_where_nothing_follows_it() -> None:
    async with EditorAndServer(FakeBackend("urn x")) as editor:
        await editor.start(capabilities={"general": {"positionEncodings": ["utf-16"]}})
        editor.open("'🎉'; ret  \n")
        [item] = (await editor.request(INLINE, at(0, 9)))["items"]
    assert item["insertText"] == "return x"
    assert item["range"] == {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 9}}


async def test_an_item_is_inserted_at_the_cursor_where_something_follows_it() -> None:
    async with EditorAndServer(FakeBackend("nt")) as editor:
        await editor.start()
        editor.open("pri(x)\n")
        [item] = (await editor.request(INLINE, at(0, 3)))["items"]
    here = {"line": 0, "character": 3}
    assert (item["insertText"], item["range"]) == ("nt", {"start": here, "end": here})


async def test_a_position_past_the_lines_end_is_answered_for_the_lines_end() -> None:
    async with EditorAndServer(FakeBackend("x")) as editor:
        await editor.start()
        editor.open("ab\n")
        result = await editor.request(INLINE, at(0, 99))
    assert result["items"][0]["range"]["end"] == {"line": 0, "character": 2}


async def test_nothing_to_show_is_an_empty_list() -> None:
    async with EditorAndServer(FakeBackend("  ")) as editor:
        await editor.start()
        editor.open("\n#\n")
        assert await editor.request(INLINE, at(0, 0)) == {"items": []}


@pytest.mark.parametrize("wrong", ["\ufffd", "\x1b", "\x9b", chr(0xD83D), "\u202e"], ids=ascii)
async def test_no_item_holds_characters_that_nobody_can_see(wrong: str) -> None:
    backend = FakeBackend("で", f"す{wrong}", "か")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("x = '日本語\ud83d'\n", language="plaintext")
        result = await editor.request(INLINE, at(0, 8, partialResultToken="t"))
        grown = [one["value"] for one in await editor.seen("$/progress", 0) if one["token"] == "t"]
        popup = await editor.request("textDocument/completion", at(0, 8))
    assert [item["insertText"] for item in result["items"]] == ["です"]
    assert all("です".startswith(item["insertText"]) for value in grown for item in value["items"])
    assert [item["label"] for item in popup["items"]] == ["日本語です"]


async def test_what_the_document_holds_may_be_completed_though_nobody_can_see_it() -> None:
    async with EditorAndServer(FakeBackend("می\u200cروم")) as editor:
        await editor.start()
        editor.open("# نمی\u200cدانم \n")
        [item] = (await editor.request(INLINE, at(0, 11)))["items"]
    assert item["insertText"] == "می\u200cروم"


async def test_edits_reach_the_model() -> None:
    backend = FakeBackend("x")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("a\r\n🎉b\r\n")
        where = {"start": {"line": 1, "character": 2}, "end": {"line": 1, "character": 3}}
        changes: list[dict[str, Any]] = [{"range": where, "text": "c\r\nd"}, {"text": "new"}]
        for version, change in enumerate(changes, 2):
            document = {**A, "version": version}
            editor.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
            await editor.request(INLINE, at(9, 0))
    assert [request.prefix for request in backend.requests] == ["a\n🎉c\nd\n", "new"]


async def test_a_request_sees_the_document_as_it_was_when_it_was_sent() -> None:
    backend = FakeBackend("x")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("old")
        _, answer = editor.ask(INLINE, at(0, 3))
        change = {"textDocument": {**A, "version": 2}, "contentChanges": [{"text": "new"}]}
        editor.notify("textDocument/didChange", change)
        await answer
    assert backend.requests[0].prefix == "old"


async def test_partial_results_grow_into_the_final_item() -> None:
    async with EditorAndServer(FakeBackend("foo", "(", "1", ")")) as editor:
        await editor.start()
        editor.open("\n#\n")
        result = await editor.request(INLINE, at(0, 0, partialResultToken="t"))
        progress = await editor.seen("$/progress", 4)
    assert [one["token"] for one in progress] == ["t"] * 4
    texts = [one["value"]["items"][0]["insertText"] for one in progress]
    assert texts == ["foo", "foo(", "foo(1", "foo(1)"]
    assert progress[-1]["value"] == result


async def test_a_client_that_asks_for_no_partial_results_gets_none() -> None:
    async with EditorAndServer(FakeBackend("foo", "(")) as editor:
        await editor.start()
        editor.open("\n#\n")
        await editor.request(INLINE, at(0, 0))
        assert not [message for message in editor.received if message.get("method") == "$/progress"]


async def test_the_selected_pop_up_item_is_completed() -> None:
    backend = FakeBackend("(1)")
    where = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 2}}
    context = {"triggerKind": 2, "selectedCompletionInfo": {"range": where, "text": "print"}}
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("pr\n")
        result = await editor.request(INLINE, at(0, 2, context=context))
    [item] = result["items"]
    assert (item["insertText"], item["range"]) == ("print(1)", where)


async def test_a_pop_up_item_contains_the_word_that_is_being_typed() -> None:
    async with EditorAndServer(FakeBackend("urn x", "\n    y")) as editor:
        await editor.start()
        editor.open("    ret")
        result = await editor.request("textDocument/completion", at(0, 7))
    [item] = result["items"]
    assert item["label"] == "return x"
    assert item["textEdit"]["newText"] == "return x"
    assert item["textEdit"]["range"] == {
        "start": {"line": 0, "character": 4},
        "end": {"line": 0, "character": 7},
    }


async def test_a_pop_up_shows_all_lines_of_an_item_that_has_several() -> None:
    answers = []
    for formats in (["plaintext"], ["markdown", "plaintext"]):
        capabilities = {"textDocument": {"completion": {"completionItem": {"documentationFormat": formats}}}}
        async with EditorAndServer(FakeBackend("n ```:\n        y")) as editor:
            await editor.start(capabilities=capabilities)
            editor.open("if x:\n    whe", language="text")
            answers.append(await editor.request("textDocument/completion", at(1, 7)))
    plain, marked = [answer["items"][0] for answer in answers]
    assert plain["documentation"] == "when ```:\n    y"
    assert marked["documentation"] == {"kind": "markdown", "value": "````text\nwhen ```:\n    y\n````"}


async def test_a_superseded_request_is_answered_with_null() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        _, older = editor.ask(INLINE, at(0, 0))
        await backend.waiting.wait()
        editor.type("b")
        _, newer = editor.ask(INLINE, at(0, 1))
        assert (await older)["result"] is None
        backend.may_finish.set()
        assert (await newer)["result"]["items"]
    assert [request.prefix for request in backend.requests] == ["", "b"]


async def test_a_cancelled_request_is_answered_so_and_frees_the_model() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        id_, answer = editor.ask(INLINE, at(0, 0))
        await backend.waiting.wait()
        editor.notify("$/cancelRequest", {"id": id_})
        assert (await answer)["error"]["code"] == ErrorCode.REQUEST_CANCELLED
        await backend.freed.wait()
        assert backend.closed == backend.requests


async def test_closing_a_document_answers_its_request() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        _, answer = editor.ask(INLINE, at(0, 0))
        await backend.waiting.wait()
        editor.notify("textDocument/didClose", {"textDocument": A})
        assert (await answer)["result"] is None
        assert await editor.request(INLINE, at(0, 0)) is None


async def test_a_document_that_is_not_open_has_no_completion() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        assert await editor.request(INLINE, at(0, 0)) is None
        assert await editor.request("textDocument/completion", at(0, 0)) is None


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"textDocument": A},
        {"textDocument": {"uri": 1}, "position": {"line": 0, "character": 0}},
        {"textDocument": A, "position": {"line": -1, "character": 0}},
        {"textDocument": A, "position": {"line": "0", "character": 0}},
        {"textDocument": A, "position": {"line": True, "character": 0}},
        {"textDocument": A, "position": {"line": 0, "character": 0}, "partialResultToken": []},
        {"textDocument": A, "position": {"line": 0, "character": 0}, "context": 3},
    ],
)
async def test_malformed_parameters_are_answered_with_an_error(params: object) -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        editor.open("\n#\n")
        assert await editor.error(INLINE, params) == ErrorCode.INVALID_PARAMS
        assert await editor.request(INLINE, at(0, 0))


async def test_a_malformed_notification_changes_nothing() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        editor.open("\n#\n")
        editor.notify("textDocument/didChange", {"textDocument": A, "contentChanges": [{"range": 3}]})
        editor.notify("textDocument/didOpen", None)
        assert await editor.request(INLINE, at(0, 0))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", ErrorCode.PARSE_ERROR),
        (b"\xff", ErrorCode.PARSE_ERROR),
        (b"[" * 100_000, ErrorCode.PARSE_ERROR),
        (b"[]", ErrorCode.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0"}', ErrorCode.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": null, "method": "shutdown"}', ErrorCode.INVALID_REQUEST),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "shutdown"}', ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_is_no_message_is_answered_without_an_id(body: bytes, code: ErrorCode) -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        await editor.start()
        editor.send(body)
        assert await editor.error("no/such/method") == ErrorCode.METHOD_NOT_FOUND  # and all goes on
        [answer] = editor.answers_to(None)
    assert answer["error"]["code"] == code


async def test_requests_have_their_time() -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        assert await editor.error(INLINE, at(0, 0)) == ErrorCode.SERVER_NOT_INITIALIZED
        await editor.start()
        assert await editor.error("initialize", {"capabilities": {}}) == ErrorCode.INVALID_REQUEST
        await editor.request("shutdown")
        assert await editor.error(INLINE, at(0, 0)) == ErrorCode.INVALID_REQUEST


async def test_a_request_that_comes_while_the_model_loads_waits_for_it() -> None:
    backend = FakeBackend("a")
    backend.may_load.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        _, answer = editor.ask(INLINE, at(0, 0))
        assert await editor.error("no/such/method") == ErrorCode.METHOD_NOT_FOUND
        assert not answer.done()
        backend.may_load.set()
        assert (await answer)["result"]["items"]


async def test_an_editor_that_can_show_it_sees_the_model_loading() -> None:
    backend = FakeBackend()
    backend.may_load.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start(capabilities={"window": {"workDoneProgress": True}})
        await editor.seen("$/progress")
        backend.may_load.set()
        progress = [one["value"] for one in await editor.seen("$/progress", 3)]
    assert [one["kind"] for one in progress[:2]] == ["begin", "report"]
    assert (progress[1]["percentage"], progress[1]["message"]) == (50, "half")
    assert progress[-1] == {"kind": "end", "message": "fake is ready"}


async def test_the_model_loads_though_the_editor_never_makes_a_place_for_its_progress() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        editor.answers_progress = False
        await editor.start(capabilities={"window": {"workDoneProgress": True}})
        editor.open("\n#\n")
        assert await editor.request(INLINE, at(0, 0))


async def test_a_model_that_cannot_be_used_is_told_once_and_answered_with_null() -> None:
    backend = FakeBackend(error=ModelNotFound("there is no model at /m: name a folder"))
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        assert await editor.request(INLINE, at(0, 0)) is None
        assert await editor.request("textDocument/completion", at(0, 0)) is None
        [message] = await editor.seen("window/showMessage")
    assert message == {"type": 1, "message": "fimble: there is no model at /m: name a folder"}


async def test_a_mistake_in_the_settings_is_told_and_the_rest_counts() -> None:
    backend = FakeBackend("a")
    async with EditorAndServer(backend, Settings(top_k=3)) as editor:
        await editor.start(initializationOptions={"maxTokns": 9, "temperature": 0.5})
        [message] = await editor.seen("window/showMessage")
        editor.open("\n#\n")
        await editor.request(INLINE, at(0, 0))
    assert message["message"] == "fimble: there is no setting `maxTokns`: did you mean `maxTokens`?"
    assert (backend.requests[0].temperature, backend.requests[0].top_k) == (0.5, 3)


async def test_shutdown_cancels_what_runs_and_exit_ends_the_server_well() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    both = EditorAndServer(backend)
    async with both as editor:
        await editor.start()
        editor.open("\n#\n")
        _, running = editor.ask(INLINE, at(0, 0))
        await backend.waiting.wait()
        assert await editor.request("shutdown") is None
        assert (await running)["error"]["code"] == ErrorCode.REQUEST_CANCELLED
        editor.notify("exit")
        assert await both.status() == 0


async def test_an_exit_without_shutdown_is_a_failure() -> None:
    both = EditorAndServer(FakeBackend())
    async with both as editor:
        await editor.start()
        editor.notify("exit")
        assert await both.status() == 1


async def test_an_editor_that_dies_ends_the_server_and_the_completion() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    both = EditorAndServer(backend)
    async with both as editor:
        await editor.start()
        editor.open("\n#\n")
        editor.ask(INLINE, at(0, 0))
        await backend.waiting.wait()
        both.hang_up()
        assert await both.status() == 1
    assert backend.closed == backend.requests


steps = st.lists(
    st.sampled_from(["ask", "bad", "cancel", "type", "close", "open", "wait", "finish"]), max_size=25
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(steps)
def test_every_request_is_answered_once_in_whatever_order_things_happen(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    backend = FakeBackend("a", "b")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start()
        asked: list[int] = []
        for step in [*steps, "finish"]:
            if step in ("ask", "bad"):
                asked.append(editor.ask(INLINE, at(0, 0) if step == "ask" else {})[0])
            elif step == "cancel" and asked:
                editor.notify("$/cancelRequest", {"id": asked[-1]})
            elif step == "type":
                change = {"textDocument": {**A, "version": 2}, "contentChanges": [{"text": "x"}]}
                editor.notify("textDocument/didChange", change)
            elif step == "close":
                editor.notify("textDocument/didClose", {"textDocument": A})
            elif step == "open":
                editor.open("\n#\n")
            elif step == "wait":
                await asyncio.sleep(0)
            elif step == "finish":
                backend.may_finish.set()
        await editor.request("shutdown")
        assert all(len(editor.answers_to(id_)) == 1 for id_ in asked), json.dumps(editor.received)
    assert backend.closed == backend.requests


async def test_an_accepted_item_makes_the_server_go_on() -> None:
    backend = FakeBackend("a:")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("if \n")
        [item] = (await editor.request(INLINE, at(0, 3)))["items"]
        assert await editor.request("workspace/executeCommand", item["command"]) is None
        await asyncio.sleep(0)
    assert [request.prefix for request in backend.requests] == ["if ", "if a:\n    "]


async def test_who_asks_by_hand_gets_items_that_differ() -> None:
    class Sampling(FakeBackend):
        async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
            self.requests.append(request)
            yield Chunk(str(request.seed), "stop")

    async with EditorAndServer(Sampling()) as editor:
        await editor.start()
        editor.open("x = ")
        result = await editor.request(INLINE, at(0, 4, context={"triggerKind": 1}))
    assert [item["insertText"] for item in result["items"]] == ["None", "1", "2"]
    assert len({item["command"]["arguments"][0] for item in result["items"]}) == 3


async def test_completions_can_be_switched_off_and_on() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        editor.open("x = ")
        toggle = {"command": "fimble.toggle"}
        assert await editor.request("workspace/executeCommand", toggle) == {"enabled": False}
        assert await editor.request(INLINE, at(0, 4)) == {"items": []}
        assert (await editor.request("textDocument/completion", at(0, 4)))["items"] == []
        assert await editor.request("workspace/executeCommand", toggle) == {"enabled": True}
        assert (await editor.request(INLINE, at(0, 4)))["items"]
        messages = await editor.seen("window/showMessage", 2)
    assert [one["message"] for one in messages] == [
        "fimble: completions are off",
        "fimble: completions are on",
    ]


async def test_a_cleared_cache_remembers_nothing() -> None:
    backend = FakeBackend("a")
    async with EditorAndServer(backend) as editor:
        await editor.start()
        editor.open("x = ")
        await editor.request(INLINE, at(0, 4))
        await editor.request(INLINE, at(0, 4))
        assert len(backend.requests) == 1
        await editor.request("workspace/executeCommand", {"command": "fimble.clearCache"})
        await editor.request(INLINE, at(0, 4))
    assert len(backend.requests) == 2


async def test_the_next_model_takes_the_place_of_this_one(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_MODELS_DIR", str(checkpoint_folder.parent))
    backend = FakeBackend("a")
    both = EditorAndServer(backend)
    async with both as editor:
        await editor.start()
        editor.open("x = ")
        next_model = {"command": "fimble.nextModel"}
        name = checkpoint_folder.name
        assert await editor.request("workspace/executeCommand", next_model) == {"model": name}
        assert both.backends.got[-1].model == name
        assert [options.model for options in both.backends.released] == [None]
        assert (await editor.request(INLINE, at(0, 4)))["items"]
        while (await editor.request("workspace/executeCommand", next_model))["model"] is not None:
            pass
    assert both.backends.got[-1].model is None


async def test_a_command_that_is_none_is_an_error() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        command = {"command": "fimble.brew"}
        assert await editor.error("workspace/executeCommand", command) == ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize(
    "options", [{"fimble": {"maxTokens": 7, "topK": "?"}}, {"maxTokens": 7, "topK": "?"}]
)
async def test_settings_that_are_pushed_count_from_then_on(options: dict[str, object]) -> None:
    backend = FakeBackend("a")
    async with EditorAndServer(backend) as editor:
        await editor.start(initializationOptions={"topP": 0.5})
        editor.open("x = ")
        await editor.request(INLINE, at(0, 4))
        editor.notify("workspace/didChangeConfiguration", {"settings": options})
        await editor.request(INLINE, at(0, 4))
        [message] = await editor.seen("window/showMessage")
    assert [request.max_tokens for request in backend.requests] == [64, 7]
    assert [request.top_p for request in backend.requests] == [0.5, 0.5]
    assert "`topK`" in message["message"]


async def test_other_programs_settings_are_nothing_to_complain_of() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        for settings_ in (None, {}, {"python": {"x": 1}}, 3):
            editor.notify("workspace/didChangeConfiguration", {"settings": settings_})
        assert await editor.error("no/such/method") == ErrorCode.METHOD_NOT_FOUND
        assert not [one for one in editor.received if one.get("method") == "window/showMessage"]


async def test_settings_are_pulled_from_an_editor_that_wants_to_be_asked() -> None:
    backend = FakeBackend("a")
    async with EditorAndServer(backend) as editor:
        editor.settings = {"maxTokens": 7}
        workspace = {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}
        await editor.start(capabilities={"workspace": workspace})
        editor.open("x = ")
        [registered] = await editor.seen("client/registerCapability")
        assert registered["registrations"][0]["registerOptions"] == {"section": "fimble"}
        await editor.seen("workspace/configuration")
        await editor.error("no/such/method")
        await editor.request(INLINE, at(0, 4))
        editor.settings = {"maxTokens": 8}
        editor.notify("workspace/didChangeConfiguration", {"settings": None})
        await editor.seen("workspace/configuration", 2)
        await editor.error("no/such/method")
        await editor.request(INLINE, at(0, 4))
    assert [request.max_tokens for request in backend.requests] == [7, 8]


async def test_a_model_that_is_set_anew_takes_the_place_of_this_one() -> None:
    both = EditorAndServer(FakeBackend("a"))
    async with both as editor:
        await editor.start(initializationOptions={"model": "/one"})
        editor.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": "/two"}}})
        await editor.error("no/such/method")
    assert [options.model for options in both.backends.got] == ["/one", "/two"]
    assert [options.model for options in both.backends.released] == ["/one", "/two"]


async def test_a_changed_limit_of_memory_opens_the_model_again() -> None:
    both = EditorAndServer(FakeBackend("a"))
    async with both as editor:
        await editor.start(initializationOptions={"model": "/one"})
        editor.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"memoryMb": 512}}})
        await editor.error("no/such/method")
    assert [options.memory_mb for options in both.backends.got] == [None, 512]
    assert [options.memory_mb for options in both.backends.released] == [None, 512]


async def test_a_model_that_is_set_anew_is_loaded_before_the_next_key() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        await editor.seen("fimble/status", 2)
        editor.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": "/two"}}})
        told = await editor.seen("fimble/status", 4)
    assert [one["state"] for one in told] == ["loading", "ready", "loading", "ready"]


async def test_an_editor_that_asks_for_it_is_told_how_the_server_is() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with EditorAndServer(backend) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        editor.open("x = ")
        await editor.seen("fimble/status", 2)
        editor.ask(INLINE, at(0, 4))
        await backend.waiting.wait()
        backend.may_finish.set()
        told = await editor.seen("fimble/status", 4)
    assert [one["state"] for one in told] == ["loading", "ready", "generating", "ready"]
    assert (told[0]["share"], told[0]["message"]) == (0.5, "half")
    detail = "native (avx2), int8: 40 MB, KV cache up to 512 MB"
    assert told[-1] == {"state": "ready", "enabled": True, "model": "fake", "detail": detail}
    assert told[-2]["detail"] == detail


async def test_a_model_that_is_ready_is_not_told_to_be_loading() -> None:
    class Telling(FakeBackend):
        async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
            info = await super().load(progress)
            if progress is not None:
                progress(1.0, "ready")  # with its last breath, as the local backend does
            return info

    async with EditorAndServer(Telling()) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        await editor.seen("window/logMessage")
        await editor.error("no/such/method")
        told = await editor.seen("fimble/status")
    assert told[-1]["state"] == "ready"


async def test_an_editor_that_asks_for_it_is_told_what_is_wrong_with_the_model() -> None:
    async with EditorAndServer(FakeBackend(error=ModelNotFound("there is no model: name one"))) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        [told] = await editor.seen("fimble/status")
    assert told == {"state": "error", "enabled": True, "message": "there is no model: name one"}


async def test_a_model_that_is_ready_does_not_seem_to_load_again() -> None:
    class SaysSoLast(FakeBackend):
        async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
            info = await super().load(progress)
            if progress is not None:
                progress(1.0, "ready")
            return info

    async with EditorAndServer(SaysSoLast("a")) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        editor.open("x = ")
        await editor.request(INLINE, at(0, 4))
        await editor.request(INLINE, at(0, 4))
        states = [one["state"] for one in await editor.seen("fimble/status", 2)]
    assert "loading" not in states[states.index("ready") :]


async def test_a_model_that_is_set_is_loaded_before_it_is_asked() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start(capabilities={"experimental": {"fimbleStatus": True}})
        await editor.seen("fimble/status", 2)
        editor.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": "/m"}}})
        told = await editor.seen("fimble/status", 4)
    assert [one["state"] for one in told] == ["loading", "ready"] * 2


async def test_an_editor_that_asks_for_it_is_told_what_came_from_memory_and_what_the_rest_cost() -> None:
    async with EditorAndServer(FakeBackend("abc")) as editor:
        await editor.start(capabilities={"experimental": {"fimbleSource": True}})
        editor.open("x = ")
        first = await editor.request(INLINE, at(0, 4))
        editor.type("a", character=4)
        second = await editor.request(INLINE, at(0, 5))
    assert (first["source"], second["source"]) == ("model", "memory")
    assert first["usage"] == {"promptTokens": 5, "reusedTokens": 3, "decodedTokens": 2}
    assert "usage" not in second
    assert second["items"][0]["insertText"] == "abc"


async def test_other_editors_are_not_bothered_with_the_status() -> None:
    async with EditorAndServer(FakeBackend("a")) as editor:
        await editor.start()
        await editor.seen("window/logMessage")
        assert not [one for one in editor.received if one.get("method") == "fimble/status"]


async def test_a_completion_that_is_accepted_word_by_word_is_counted_to_its_end(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with EditorAndServer(FakeBackend("one + two + three + four"), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        column = 4
        for word in ("one", " + two", " + three"):
            [item] = (await editor.request(INLINE, at(0, column)))["items"]
            editor.notify("textDocument/didShowCompletion", {"item": item})
            typed = column - item["range"]["start"]["character"]
            editor.type(word, 0, column)
            column += len(word)
            accepted = {"item": item, "acceptedLength": typed + len(word)}
            editor.notify("textDocument/didPartiallyAcceptCompletion", accepted)
        await editor.request(INLINE, at(0, column))
    metrics.close()
    counts = {count.name: amount for count, amount in store.read().items()}
    assert (counts["shown"], counts["partly_accepted"]) == (1, 1)
    assert counts["saved"] == len("one + two + three")


async def test_what_becomes_of_a_completion_is_counted(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with EditorAndServer(FakeBackend("foo('🎉')"), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \ny = \nz = \n")
        [item] = (await editor.request(INLINE, at(0, 4)))["items"]
        editor.notify("textDocument/didShowCompletion", {"item": item})
        accepted = {"item": item, "acceptedLength": 3}
        editor.notify("textDocument/didPartiallyAcceptCompletion", accepted)
        await editor.request("workspace/executeCommand", item["command"])
        [item] = (await editor.request(INLINE, at(1, 4)))["items"]
        editor.notify("textDocument/didShowCompletion", {"item": item})
        await editor.request(INLINE, at(2, 4))
    metrics.close()
    counts = counted(store)
    assert (counts["answered"], counts["shown"], counts["accepted"]) == (3, 2, 1)
    assert counts["saved"] == len("foo('🎉')") + 1
    assert counts["glanced"] == 1


def counted(store: CountStore) -> dict[str, float]:
    """What is counted, by name."""
    counts: dict[str, float] = {}
    for count, amount in store.read().items():
        counts[count.name] = counts.get(count.name, 0) + amount
    return counts


async def test_what_is_seen_to_grow_can_be_accepted_before_it_is_whole(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    backend = FakeBackend("foo", "(1)")
    backend.may_finish.clear()
    async with EditorAndServer(backend, metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        id_, _ = editor.ask(INLINE, at(0, 4, partialResultToken="t"))
        item = (await editor.seen("$/progress", 2))[-1]["value"]["items"][0]
        editor.notify("textDocument/didShowCompletion", {"item": item})
        editor.notify("$/cancelRequest", {"id": id_})
        await editor.request("workspace/executeCommand", item["command"])
    metrics.close()
    counts = counted(store)
    assert (counts["shown"], counts["accepted"], counts["saved"]) == (1, 1, len("foo(1)"))


async def test_words_that_are_accepted_one_after_another_are_each_counted(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with EditorAndServer(FakeBackend("one.two.three"), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        column = 4
        for word in ("one", ".two"):
            [item] = (await editor.request(INLINE, at(0, column)))["items"]
            editor.type(word, 0, column)
            typed = column - item["range"]["start"]["character"]
            accepted = {"item": item, "acceptedLength": typed + len(word)}
            editor.notify("textDocument/didPartiallyAcceptCompletion", accepted)
            column += len(word)
        await editor.error("no/such/method")
    metrics.close()
    counts = counted(store)
    assert (counts["shown"], counts["partly_accepted"], counts["saved"]) == (1, 1, len("one.two"))


async def test_what_is_counted_is_written_though_the_editor_hangs_up_at_once(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    both = EditorAndServer(FakeBackend("foo"), metrics=Metrics(store))
    async with both as editor:
        await editor.start()
        editor.open("x = ")
        await editor.request(INLINE, at(0, 4))
        _, answer = editor.ask("shutdown")
        both.hang_up()
        assert await both.status() == 0
        assert (await answer)["result"] is None
    assert counted(store)["answered"] == 1


async def test_nothing_is_counted_where_that_is_switched_off(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with EditorAndServer(FakeBackend("foo"), metrics=metrics) as editor:
        await editor.start(initializationOptions={"metrics": False})
        editor.open("x = ")
        await editor.request(INLINE, at(0, 4))
    metrics.close()
    assert store.read() == {}
