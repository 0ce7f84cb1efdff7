"""Copilot's clients as they were recorded, and by hand: a real process, raw messages."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from lsp_server.document import Document, Position, Range
from lsp_server.statistics.store import FILE_NAME, CountStore
from tests.e2e.child import Child
from tests.lsp_server.server.test_copilot import doc
from tests.lsp_server.server.test_server import INLINE, at, counted
from tests.lsp_server.wire import ErrorCode

RECORDINGS: Final = Path(__file__).parent / "recordings"
CYCLING: Final = "getCompletionsCycling"
_REFERENCE: Final = re.compile(r"<(\d+)\.(\d+)>")


class Replay:
    """A recorded client at a server: it says what it said, and `answers` has what it is answered.

    The client's `document` is what it had typed when it asked; `typed` is what of a line it had then.
    """

    def __init__(self, child: Child, name: str) -> None:
        lines = (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        self._child = child
        self._messages: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._awaited = {int(number) for line in lines for number, _ in _REFERENCE.findall(line)}
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.document = Document("")
        self.methods: dict[int, str] = {}
        self.params: dict[int, Any] = {}
        self.typed: dict[int, str] = {}
        self.answers: dict[int, dict[str, Any]] = {}

    async def play(self) -> None:
        """Say it all, and wait for all answers."""
        editor = self._child.editor
        for message in self._messages:
            method, params = message["method"], self._filled(message["params"])
            if "id" not in message:
                self._note(method, params)
                editor.notify(method, params)
                continue
            number, self._asked[message["id"]] = editor.ask(method, params)
            assert number == message["id"], "cancelling would be for another request"
            self.methods[number], self.params[number] = method, params
            if "position" in (params.get("doc") or params):
                where = Position(**(params.get("doc") or params)["position"])
                self.typed[number] = self.document.text_in(Range(Position(where.line, 0), where))
            if number in self._awaited or number == 1:
                self.answers[number] = await self._asked[number]
        for number, answer in self._asked.items():
            self.answers[number] = await answer

    def results(self, *methods: str) -> list[tuple[int, Any]]:
        """What requests of these methods were answered, by their ids; cancelled ones are left out."""
        found = [
            (number, self.answers[number]) for number, method in self.methods.items() if method in methods
        ]
        assert all(
            "result" in answer or answer["error"]["code"] == ErrorCode.REQUEST_CANCELLED
            for _, answer in found
        )
        return [(number, answer["result"]) for number, answer in found if "result" in answer]

    def _note(self, method: str, params: Any) -> None:
        if method == "textDocument/didOpen":
            self.document = Document(params["textDocument"]["text"])
        elif method == "textDocument/didChange":
            for change in params["contentChanges"]:
                ends = (
                    [Position(**change["range"][end]) for end in ("start", "end")]
                    if "range" in change
                    else None
                )
                self.document.replace(change["text"], Range(*ends) if ends else None)

    def _filled(self, value: Any) -> Any:
        """`value` with this server's ids in the places of the recorded ones."""
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner) for inner in value]
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is None:
            return value
        result = self.answers[int(reference[1])]["result"]
        if "completions" in result:
            return result["completions"][int(reference[2])]["uuid"]
        return result["items"][int(reference[2])]["command"]["arguments"][0]


async def played(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Replay, Child]:
    """A recording, played to a server that has ended since; counts are in `folder`."""
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(folder))
    async with await Child.start("--copilot", "--stdio", module="tests.e2e.knowing") as child:
        replay = Replay(child, name)
        await replay.play()
        assert await child.quit() == 0
    return replay, child


async def test_copilot_lua_gets_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, child = await played("copilot_lua", tmp_path, monkeypatch)
    assert all(status["user"] and status["status"] == "OK" for _, status in replay.results("checkStatus"))
    for number, result in replay.results("getCompletions", CYCLING):
        typed, asked = replay.typed[number], replay.params[number]["doc"]
        assert result["completions"]
        for completion in result["completions"]:
            assert completion["text"].startswith(typed)  # else it draws nothing
            assert completion["text"] != typed
            assert completion["text"].endswith(completion["displayText"])
            assert completion["range"]["start"] == {"line": asked["position"]["line"], "character": 0}
            assert completion["range"]["end"] == completion["position"] == asked["position"]
            assert completion["docVersion"] == asked["version"]
    [(_, cycled)] = replay.results(CYCLING)
    assert len({completion["text"] for completion in cycled["completions"]}) > 1
    outcomes = replay.results("notifyShown", "notifyAccepted", "notifyRejected")
    assert [result for _, result in outcomes] == ["OK"] * 9
    [(_, models)] = replay.results("copilot/models")
    assert all("completion" in model["scopes"] and model["modelName"] for model in models)
    [(panel, result)] = replay.results("getPanelCompletions")
    assert result["solutionCountTarget"] == len(await child.editor.seen("PanelSolution", 0))
    done = await child.editor.seen("PanelSolutionsDone")
    assert done == [{"panelId": replay.params[panel]["panelId"], "status": "OK"}]
    assert (await child.editor.seen("statusNotification"))[-1]["status"] == "Normal"
    counts = counted(CountStore(tmp_path / FILE_NAME))
    assert (counts["shown"], counts["accepted"]) == (4, 2)


async def test_copilot_el_gets_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, child = await played("copilot_el", tmp_path, monkeypatch)
    texts: dict[int, list[str]] = {}
    for number, result in replay.results(INLINE):
        typed, asked = replay.typed[number], replay.params[number]
        texts[number] = [item["insertText"] for item in (result or {"items": []})["items"]]
        for item in (result or {"items": []})["items"]:
            start, end = item["range"]["start"], item["range"]["end"]
            assert end == asked["position"]
            assert start["line"] == end["line"]
            assert item["insertText"].startswith(typed[start["character"] :])
            assert item["command"]["arguments"]
    invoked = [number for number in texts if replay.params[number]["context"]["triggerKind"] == 1]
    assert [len(set(texts[number])) for number in invoked] == [3]
    assert replay.results("workspace/executeCommand") == [(15, None)]
    [(_, signing_in)] = replay.results("signInInitiate")
    assert (signing_in["status"], signing_in["user"]) == ("AlreadySignedIn", "fimble")
    [(_, models)] = replay.results("copilot/models")
    assert all("completion" in model["scopes"] and model["id"] for model in models)
    [(_, panel)] = replay.results("getPanelCompletions")
    assert isinstance(panel["solutionCountTarget"], int)
    status = (await child.editor.seen("didChangeStatus"))[-1]
    assert (status["kind"], status["busy"]) == ("Normal", False)
    counts = counted(CountStore(tmp_path / FILE_NAME))
    assert (counts["shown"], counts["accepted"], counts["partly_accepted"]) == (2, 1, 0)


async def test_a_real_model_answers_older_clients_too(checkpoint_folder: Path) -> None:
    async with await Child.start("--copilot", "--model", str(checkpoint_folder)) as child:
        await child.editor.start(capabilities={"general": {"positionEncodings": ["utf-8"]}})
        child.editor.open("'🎉' for index in values:\n" * 3, language="plaintext")
        position = {"line": 1, "character": 15}
        result = await child.editor.request("getCompletions", doc(1, 15))
        for completion in result["completions"]:
            assert completion["text"].startswith("'🎉' for index")
            assert completion["position"] == position
        id_, answer = child.editor.ask(CYCLING, doc(2, 99))
        child.editor.notify("$/cancelRequest", {"id": id_})
        assert "result" in await answer or (await answer)["error"]["code"] == ErrorCode.REQUEST_CANCELLED
        assert await child.editor.error("getCompletions", at(0, 0)) == ErrorCode.INVALID_PARAMS
        assert await child.quit() == 0
