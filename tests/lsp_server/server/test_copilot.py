"""Copilot's dialect: its clients are answered as they expect, and what they tell is counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from lsp_server.statistics.metrics import Metrics
from lsp_server.statistics.store import CountStore
from model_runtime.api import Backend, Chunk, CompletionRequest, ModelNotFound
from tests.lsp_server.fakes import Editor, EditorAndServer, FakeBackend
from tests.lsp_server.server.test_server import INLINE, A, at, counted
from tests.lsp_server.wire import ErrorCode

CHANGED = "workspace/didChangeConfiguration"
LEGACY = ("getCompletions", "getCompletionsCycling", "getPanelCompletions")


def speaking(backend: Backend, **more: Any) -> EditorAndServer:
    return EditorAndServer(backend, copilot=True, **more)


def doc(line: int, character: int, **more: object) -> dict[str, object]:
    """What older clients ask with."""
    position = {"line": line, "character": character}
    return {"doc": {**A, "version": 7, "position": position, "tabSize": 4, "insertSpaces": True, **more}}


def span(line: int, start: int, end: int) -> dict[str, dict[str, int]]:
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


class Drawing(FakeBackend):
    """Writes ``first``, and what begins with ``drawn`` where it draws."""

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk("first" if request.seed is None else f"drawn{request.seed}", "stop")


async def one(editor: Editor, params: dict[str, object]) -> dict[str, Any]:
    """The one completion that there is."""
    [completion] = (await editor.request("getCompletions", params))["completions"]
    assert isinstance(completion, dict)
    return completion


@pytest.mark.parametrize(
    ("method", "params", "answer"),
    [
        ("checkStatus", {"_": True}, {"status": "OK", "user": "fimble"}),
        ("checkStatus", {"options": {"localChecksOnly": True}}, {"status": "OK", "user": "fimble"}),
        ("signIn", {}, {"status": "AlreadySignedIn", "user": "fimble"}),
        ("signInInitiate", {}, {"status": "AlreadySignedIn", "user": "fimble"}),
        ("signInConfirm", {"userCode": "ABCD"}, {"status": "OK", "user": "fimble"}),
        ("signOut", None, {"status": "NotSignedIn"}),
        ("setEditorInfo", {"editorInfo": {"name": "Neovim", "version": "0.11"}}, "OK"),
        ("textDocument/copilotInlineEdit", at(0, 0), {"edits": []}),
    ],
)
async def test_signing_in_asks_nobody(method: str, params: object, answer: object) -> None:
    async with speaking(FakeBackend()) as editor:
        await editor.start()
        assert await editor.request(method, params) == answer


async def test_the_version_is_ours() -> None:
    async with speaking(FakeBackend()) as editor:
        await editor.start()
        assert (await editor.request("getVersion", {}))["version"][0].isdigit()


async def test_other_editors_are_not_answered_so() -> None:
    async with EditorAndServer(FakeBackend()) as editor:
        await editor.start()
        assert await editor.error("checkStatus", {}) == ErrorCode.METHOD_NOT_FOUND
        assert await editor.error("getCompletions", doc(0, 0)) == ErrorCode.METHOD_NOT_FOUND


async def test_what_is_for_copilot_alone_is_said_not_to_be_here() -> None:
    async with speaking(FakeBackend()) as editor:
        await editor.start()
        assert await editor.error("conversation/create", {}) == ErrorCode.METHOD_NOT_FOUND


async def test_positions_are_in_utf_16_whatever_else_is_offered() -> None:
    backend = FakeBackend("x")
    offered = {"general": {"positionEncodings": ["utf-8", "utf-32"]}}
    async with speaking(backend) as editor:
        capabilities = await editor.start(capabilities=offered)
        editor.open("a = '🎉'\n")
        await editor.request("getCompletions", doc(0, 8))
    assert capabilities["positionEncoding"] == "utf-16"
    assert backend.requests[0].prefix == "a = '🎉'"


async def test_completions_are_not_offered_as_a_pop_up_beside_the_ghost_text() -> None:
    async with speaking(FakeBackend()) as editor:
        assert "completionProvider" not in await editor.start()


async def test_what_a_client_says_to_copilot_is_no_mistake_in_our_settings() -> None:
    options = {
        "editorInfo": {"name": "Emacs"},
        "editorPluginInfo": {"name": "copilot.el"},
        "networkProxy": {},
    }
    backend = FakeBackend("x")
    async with speaking(backend) as editor:
        await editor.start(initializationOptions={**options, "fimble": {"maxTokens": 7}})
        settings = {"telemetry": {"telemetryLevel": "all"}, "enableAutoCompletions": True}
        editor.notify(CHANGED, {"settings": settings})
        editor.notify(CHANGED, {"settings": None})
        editor.open("\n#\n")
        await editor.request("getCompletions", doc(0, 0))
        assert not [message for message in editor.received if message.get("method") == "window/showMessage"]
    assert backend.requests[0].max_tokens == 7


async def test_our_settings_have_a_section_among_those_for_copilot() -> None:
    backend = FakeBackend("x")
    async with speaking(backend) as editor:
        await editor.start(initializationOptions="none")
        editor.notify(CHANGED, {"settings": {"github-enterprise": {}, "fimble": {"maxTokens": 5}}})
        editor.open("\n#\n")
        await editor.request("getCompletions", doc(0, 0))
    assert backend.requests[0].max_tokens == 5


async def test_the_modern_request_is_answered_as_ever() -> None:
    async with speaking(FakeBackend("a + b")) as editor:
        await editor.start()
        editor.open("return \n")
        extras = {
            "textDocument": {**A, "version": 3},
            "formattingOptions": {"tabSize": 4, "insertSpaces": True},
        }
        [item] = (await editor.request(INLINE, at(0, 7, **extras)))["items"]
    assert (item["insertText"], item["range"]) == ("a + b", span(0, 7, 7))


async def test_an_older_clients_completion_replaces_the_line_so_far() -> None:
    async with speaking(FakeBackend("urn [", "\n    x]")) as editor:
        await editor.start()
        editor.open("if a:\n    ret")
        completion = await one(editor, doc(1, 7))
    assert isinstance(completion.pop("uuid"), str)
    assert completion == {
        "text": "    return [\n    x]",
        "displayText": "urn [\n    x]",
        "position": {"line": 1, "character": 7},
        "range": span(1, 0, 7),
        "docVersion": 7,
    }


async def test_it_also_replaces_the_bracket_that_it_brings_along() -> None:
    async with speaking(FakeBackend("x) + 1")) as editor:
        await editor.start()
        editor.open("print()\n")
        completion = await one(editor, doc(0, 6))
    assert (completion["text"], completion["range"]) == ("print(x) + 1", span(0, 0, 7))


async def test_the_older_request_counts_in_utf_16_too() -> None:
    async with speaking(FakeBackend("x) + 1")) as editor:
        await editor.start()
        editor.open("p('🎉', )\n")
        completion = await one(editor, doc(0, 8))
    assert (completion["text"], completion["range"]) == ("p('🎉', x) + 1", span(0, 0, 9))


async def test_lines_that_end_as_on_windows_are_completed_too() -> None:
    backend = FakeBackend("1")
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("a = 0\r\nb = \r\nc\r\n")
        completion = await one(editor, doc(1, 4))
    assert (completion["text"], completion["range"]) == ("b = 1", span(1, 0, 4))
    assert (backend.requests[0].prefix, backend.requests[0].suffix) == ("a = 0\nb = ", "\nc\n")


@pytest.mark.parametrize(("line", "character"), [(0, 99), (99, 0)])
async def test_a_position_past_the_end_means_the_end(line: int, character: int) -> None:
    async with speaking(FakeBackend("cd")) as editor:
        await editor.start()
        editor.open("ab")
        completion = await one(editor, doc(line, character))
    assert (completion["text"], completion["range"]) == ("abcd", span(0, 0, 2))
    assert completion["position"] == {"line": 0, "character": 2}


@pytest.mark.parametrize("version", [0, 1, 99])
async def test_a_version_is_given_back_as_it_came(version: int) -> None:
    async with speaking(FakeBackend("x")) as editor:
        await editor.start()
        editor.open("\n#\n")
        assert (await one(editor, doc(0, 0, version=version)))["docVersion"] == version


async def test_an_older_client_that_cycles_gets_several_that_differ() -> None:
    async with speaking(Drawing()) as editor:
        await editor.start()
        editor.open("x = ")
        first = await one(editor, doc(0, 4))
        cycled = (await editor.request("getCompletionsCycling", doc(0, 4)))["completions"]
    assert [each["text"] for each in cycled] == ["x = first", "x = drawn1", "x = drawn2"]
    assert cycled[0]["uuid"] == first["uuid"]
    assert len({each["uuid"] for each in cycled}) == 3


async def test_the_panel_is_told_each_solution_and_then_that_it_was_the_last() -> None:
    async with speaking(Drawing()) as editor:
        await editor.start()
        editor.open("x = ()")
        answer = await editor.request("getPanelCompletions", {**doc(0, 5), "panelId": "panel 1"})
        solutions = await editor.seen("PanelSolution", 3)
        done = await editor.seen("PanelSolutionsDone")
    assert answer == {"solutionCountTarget": 3}
    assert done == [{"panelId": "panel 1", "status": "OK"}]
    assert [each["completionText"] for each in solutions] == ["first", "drawn1", "drawn2"]
    assert [each["score"] for each in solutions] == [3, 2, 1]
    assert {each["panelId"] for each in solutions} == {"panel 1"}
    assert (solutions[0]["displayText"], solutions[0]["range"]) == ("x = (first", span(0, 5, 5))


@pytest.mark.parametrize("method", LEGACY[:2])
async def test_nothing_to_show_is_an_empty_list(method: str) -> None:
    async with speaking(FakeBackend("  ")) as editor:
        await editor.start()
        assert await editor.request(method, doc(0, 0)) == {
            "completions": []
        }  # of a document that is not open
        editor.open("\n#\n")
        assert await editor.request(method, doc(0, 0)) == {"completions": []}


async def test_a_panel_for_nothing_is_told_that_there_is_nothing() -> None:
    async with speaking(FakeBackend("x")) as editor:
        await editor.start()
        params = {**doc(0, 0), "panelId": "p"}
        assert await editor.request("getPanelCompletions", params) == {"solutionCountTarget": 0}
        assert await editor.seen("PanelSolutionsDone") == [{"panelId": "p", "status": "OK"}]


async def test_an_older_client_that_was_superseded_gets_an_empty_list() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        _, older = editor.ask("getCompletions", doc(0, 0))
        await backend.waiting.wait()
        editor.type("b")
        _, newer = editor.ask("getCompletions", doc(0, 1))
        assert (await older)["result"] == {"completions": []}
        backend.may_finish.set()
        assert (await newer)["result"]["completions"]


@pytest.mark.parametrize("method", LEGACY)
async def test_an_older_clients_request_can_be_cancelled(method: str) -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        id_, answer = editor.ask(method, doc(0, 0))
        await backend.waiting.wait()
        editor.notify("$/cancelRequest", {"id": id_})
        assert (await answer)["error"]["code"] == ErrorCode.REQUEST_CANCELLED
        await backend.freed.wait()


@pytest.mark.parametrize("method", LEGACY)
@pytest.mark.parametrize(
    ("params", "named"),
    [
        (None, "doc"),
        ({}, "doc"),
        ({"doc": []}, "doc"),
        ({"doc": {"position": {"line": 0, "character": 0}}}, "uri"),
        ({"doc": A}, "position"),
        ({"doc": {**A, "position": {"line": 0}}}, "character"),
        ({"doc": {**A, "position": {"line": 0, "character": -1}}}, "doc.position"),
        ({"doc": {**A, "version": "1", "position": {"line": 0, "character": 0}}}, "version"),
    ],
)
async def test_what_is_missing_is_named(method: str, params: object, named: str) -> None:
    async with speaking(FakeBackend("x")) as editor:
        await editor.start()
        editor.open("\n#\n")
        error = (await editor.ask(method, params)[1])["error"]
        assert error["code"] == ErrorCode.INVALID_PARAMS
        assert named in error["message"]
        assert (await editor.request("getCompletions", doc(0, 0)))["completions"]


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        ("notifyShown", {}, "uuid"),
        ("notifyAccepted", {"uuid": 3}, "uuid"),
        ("notifyAccepted", {"uuid": "a", "acceptedLength": "all"}, "acceptedLength"),
        ("notifyRejected", {"uuids": "a"}, "uuids"),
    ],
)
async def test_what_is_wrong_with_what_was_told_is_named(method: str, params: object, named: str) -> None:
    async with speaking(FakeBackend()) as editor:
        await editor.start()
        error = (await editor.ask(method, params)[1])["error"]
    assert (error["code"], named in error["message"]) == (ErrorCode.INVALID_PARAMS, True)


async def test_what_becomes_of_unknown_completions_is_nothing_to_complain_of() -> None:
    async with speaking(FakeBackend()) as editor:
        await editor.start()
        assert await editor.request("notifyShown", {"uuid": "a"}) == "OK"
        assert await editor.request("notifyAccepted", {"uuid": "a", "acceptedLength": 1}) == "OK"
        assert await editor.request("notifyRejected", {"uuids": ["a", None]}) == "OK"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("notifyAccepted", {"acceptedLength": 4 + 9})], {"accepted": 1, "saved": 9}),
        ([("notifyAccepted", {})], {"accepted": 1, "saved": 9}),
        ([("notifyAccepted", {"acceptedLength": 4 + 3})], {"partly_accepted": 1, "saved": 3}),
        (
            [("notifyAccepted", {"acceptedLength": 4 + 3}), ("notifyAccepted", {"acceptedLength": 4 + 9})],
            {"accepted": 1, "partly_accepted": 0, "saved": 9},
        ),
        ([("notifyRejected", {})], {"glanced": 1}),
    ],
    ids=["whole", "without a length", "in part", "in part and then whole", "rejected"],
)
async def test_outcomes_are_counted(
    tmp_path: Path, told: list[tuple[str, dict[str, int]]], expected: dict[str, int]
) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with speaking(FakeBackend("foo('🎉')"), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        uuid = (await one(editor, doc(0, 4)))["uuid"]
        assert await editor.request("notifyShown", {"uuid": uuid}) == "OK"
        for method, more in told:
            params = {"uuids": [uuid]} if method == "notifyRejected" else {"uuid": uuid, **more}
            assert await editor.request(method, params) == "OK"
    metrics.close()
    counts = counted(store)
    outcomes = ("accepted", "partly_accepted", "saved", "glanced", "dismissed")
    assert counts["shown"] == 1
    assert {name: counts[name] for name in outcomes if name in counts} == expected


async def test_what_a_client_could_show_and_did_not_is_not_counted_as_shown(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with speaking(Drawing(), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        cycled = (await editor.request("getCompletionsCycling", doc(0, 4)))["completions"]
        await editor.request("notifyShown", {"uuid": cycled[1]["uuid"]})
    metrics.close()
    assert (len(cycled), counted(store)["shown"]) == (3, 1)


async def test_modern_outcomes_are_told_by_the_command_alone(tmp_path: Path) -> None:
    store = CountStore(tmp_path / "counts.db")
    metrics = Metrics(store)
    async with speaking(FakeBackend("foo(1)"), metrics=metrics) as editor:
        await editor.start()
        editor.open("x = \n")
        [item] = (await editor.request(INLINE, at(0, 4)))["items"]
        told = {"item": {"command": item["command"]}}
        editor.notify("textDocument/didShowCompletion", told)
        editor.notify("textDocument/didPartiallyAcceptCompletion", {**told, "acceptedLength": 3})
        assert await editor.request("workspace/executeCommand", item["command"]) is None
    metrics.close()
    counts = counted(store)
    assert (counts["shown"], counts["accepted"], counts["saved"]) == (1, 1, len("foo(1)"))


async def test_an_accepted_completion_makes_the_server_go_on() -> None:
    backend = FakeBackend("f(1)")
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("x = \n")
        uuid = (await one(editor, doc(0, 4)))["uuid"]
        backend.waiting.clear()
        await editor.request("notifyAccepted", {"uuid": uuid, "acceptedLength": len("x = f(1)")})
        await backend.waiting.wait()
    assert backend.requests[1].prefix.startswith("x = f(1)")


async def test_other_files_secrets_are_not_shown_to_the_model() -> None:
    backend = FakeBackend("1")
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("connect_database = open_connection('hunter2')\n" * 9, uri="file:///p/.env")
        editor.open("def connect_database():\n    return open_connection()\n" * 9, uri="file:///p/db.py")
        editor.open("connect_database(open_connection(\n")
        await editor.request("getCompletions", doc(0, 33))
    shown = "".join(snippet.text for snippet in backend.requests[0].snippets)
    assert "def connect_database" in shown
    assert "hunter2" not in shown


async def test_completions_that_are_switched_off_are_none() -> None:
    async with speaking(FakeBackend("x")) as editor:
        await editor.start()
        editor.open("\n#\n")
        await editor.request("workspace/executeCommand", {"command": "fimble.toggle"})
        assert await editor.request("getCompletions", doc(0, 0)) == {"completions": []}
        status = (await editor.seen("didChangeStatus"))[-1]
    assert (status["kind"], status["busy"]) == ("Inactive", False)


async def test_clients_see_when_the_server_is_busy() -> None:
    backend = FakeBackend("x")
    async with speaking(backend) as editor:
        await editor.start()
        editor.open("\n#\n")
        await editor.seen("didChangeStatus", 2)
        await editor.request("getCompletions", doc(0, 0))
        told = await editor.seen("didChangeStatus", 4)
        assert await editor.seen("statusNotification", 4) == told
        assert not [message for message in editor.received if message.get("method") == "fimble/status"]
    assert [(one["kind"], one["busy"], one["status"]) for one in told] == [
        ("Normal", True, "InProgress"),
        ("Normal", False, "Normal"),
        ("Normal", True, "InProgress"),
        ("Normal", False, "Normal"),
    ]


async def test_clients_see_what_is_wrong_with_the_model() -> None:
    async with speaking(FakeBackend(error=ModelNotFound("there is no model here: name a folder"))) as editor:
        await editor.start()
        editor.open("\n#\n")
        assert await editor.request("getCompletions", doc(0, 0)) == {"completions": []}
        [status, *_] = await editor.seen("didChangeStatus")
    assert (status["kind"], status["busy"]) == ("Error", False)
    assert status["message"] == "there is no model here: name a folder"


async def test_a_model_of_this_machine_can_be_chosen_as_one_of_copilots(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_MODELS_DIR", str(checkpoint_folder.parent))
    both = speaking(FakeBackend("a"))
    async with both as editor:
        await editor.start()
        models = await editor.request("copilot/models", {"_": True})
        names = [model["id"] for model in models]
        assert names[0] == "default"
        assert checkpoint_folder.name in names
        assert [model["default"] for model in models] == [name == "default" for name in names]
        assert all("completion" in model["scopes"] for model in models)
        for name in ("gpt-5-copilot", "", checkpoint_folder.name):
            chosen = {"github": {"copilot": {"selectedCompletionModel": name}}}
            editor.notify(CHANGED, {"settings": chosen})
            await editor.request("copilot/models", {})  # which takes a thread as long as choosing does
        while len(both.backends.got) < 2:
            await editor.request("copilot/models", {})
    assert [options.model for options in both.backends.got] == [None, checkpoint_folder.name]
