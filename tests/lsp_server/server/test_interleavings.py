"""Whatever an editor, its user and a model do, in whatever order: every request gets exactly one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model_runtime.api import FinishReason, OutOfMemory
from tests.lsp_server.fakes import EditorAndServer
from tests.lsp_server.scripted import ScriptedBackend
from tests.lsp_server.virtual_time import VirtualTimeLoop, settle
from tests.lsp_server.wire import ErrorCode

Result = TypeVar("Result")

DOCUMENTS = ("file:///a.py", "file:///b.py")
METHODS = ("textDocument/inlineCompletion", "textDocument/completion")

documents = st.sampled_from(DOCUMENTS)
pieces = st.sampled_from(["a", "ab", "(", ")", "a(b)", ":", "\n", "\n    ", "    return a\n", '"'])


class Interleavings(RuleBasedStateMachine):
    """An editor with two documents, and a model that is told what to write."""

    @initialize(budget=st.sampled_from([None, 50]), loaded=st.booleans())
    def start(self, budget: float | None, loaded: bool) -> None:
        self.loop = VirtualTimeLoop()
        self.texts: dict[str, str] = {}
        self.asked: list[int] = []
        self.asked_for: dict[str, list[int]] = {uri: [] for uri in DOCUMENTS}
        self.version = 0
        self.do(self._start(budget, loaded))

    async def _start(self, budget: float | None, loaded: bool) -> None:
        self.backend = ScriptedBackend()
        if not loaded:
            self.backend.may_load.clear()
        self.both = EditorAndServer(self.backend)
        self.editor = self.both.editor
        options = {"latencyBudgetMs": budget}
        await self.editor.start(
            initializationOptions=options, capabilities={"experimental": {"fimbleStatus": True}}
        )

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something, and let happen what follows from it at once."""

        async def work_and_settle() -> Result:
            result = await work
            await settle()
            return result

        return self.loop.run_until_complete(work_and_settle())

    def tell(self, method: str, params: object) -> None:
        async def notify() -> None:
            self.editor.notify(method, params)

        self.do(notify())

    def ask(self, method: str, params: object) -> None:
        async def ask() -> int:
            return self.editor.ask(method, params)[0]

        self.asked.append(self.do(ask()))

    @rule(uri=documents, text=st.sampled_from(["", "x = ", "def f():\n    "]))
    def open(self, uri: str, text: str) -> None:
        self.texts[uri] = text
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})

    @rule(uri=documents)
    def close(self, uri: str) -> None:
        self.texts.pop(uri, None)
        self.tell("textDocument/didClose", {"textDocument": {"uri": uri}})

    @rule(uri=documents, text=pieces)
    def type(self, uri: str, text: str) -> None:
        self._change(uri, self.texts.get(uri, "") + text, self._end(uri), text)

    @precondition(lambda self: self.backend.running)
    @rule(uri=documents, count=st.integers(1, 3))
    def type_what_the_model_has_written(self, uri: str, count: int) -> None:
        written = "".join(self._written(stream) for stream in self.backend.running)[:count]
        self._change(uri, self.texts.get(uri, "") + written, self._end(uri), written)

    @rule(uri=documents)
    def delete(self, uri: str) -> None:
        self._change(uri, self.texts.get(uri, "")[:-1], None, self.texts.get(uri, "")[:-1])

    @rule(
        uri=documents,
        method=st.sampled_from(METHODS),
        kind=st.sampled_from([1, 2]),
        token=st.sampled_from([None, "t"]),
    )
    def request(self, uri: str, method: str, kind: int, token: str | None) -> None:
        self.ask(
            method,
            {
                "textDocument": {"uri": uri},
                "position": self._end(uri),
                "context": {"triggerKind": kind},
                "partialResultToken": token,
            },
        )
        self.asked_for[uri].append(self.asked[-1])

    @invariant()
    def of_a_documents_requests_only_the_newest_waits(self) -> None:
        for asked in self.asked_for.values():
            assert not self._waiting(asked[:-1])

    @invariant()
    def what_is_no_completion_does_not_wait(self) -> None:
        completions = {id_ for asked in self.asked_for.values() for id_ in asked}
        assert not self._waiting([id_ for id_ in self.asked if id_ not in completions])

    @rule(params=st.sampled_from([None, {}, {"textDocument": 3}]), method=st.sampled_from(METHODS))
    def request_nonsense(self, params: object, method: str) -> None:
        self.ask(method, params)

    @precondition(lambda self: self.asked)
    @rule(back=st.integers(1, 3))
    def cancel(self, back: int) -> None:
        self.tell("$/cancelRequest", {"id": self.asked[-min(back, len(self.asked))]})

    @rule()
    def accept_the_last_item(self) -> None:
        items = [
            item
            for message in self.editor.received
            if isinstance(message.get("result"), dict)
            for item in message["result"].get("items", [])
        ]
        command = items[-1]["command"] if items else {"command": "fimble.accept", "arguments": ["?"]}
        self.ask("workspace/executeCommand", command)

    @rule(command=st.sampled_from(["fimble.toggle", "fimble.clearCache", "fimble.accept", "none"]))
    def execute(self, command: str) -> None:
        self.ask("workspace/executeCommand", {"command": command})

    @rule(options=st.sampled_from([{"maxTokens": 5}, {"model": "other"}, {"model": None}, {"topK": "?"}]))
    def configure(self, options: dict[str, object]) -> None:
        self.tell("workspace/didChangeConfiguration", {"settings": {"fimble": options}})

    @precondition(lambda self: self.backend.running)
    @rule(texts=st.lists(pieces, min_size=1, max_size=3))
    def write(self, texts: list[str]) -> None:
        self.do(self.backend.running[-1].write(*texts))

    @precondition(lambda self: self.backend.running)
    @rule(reason=st.sampled_from(["stop", "length", "deadline"]))
    def finish(self, reason: FinishReason) -> None:
        self.do(self.backend.running[-1].finish(reason))

    @precondition(lambda self: self.backend.running)
    @rule()
    def fail(self) -> None:
        self.do(self.backend.running[-1].fail(OutOfMemory("the model is too large: choose a smaller one")))

    @rule()
    def load(self) -> None:
        self.backend.may_load.set()
        self.do(settle())

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 2]))
    def wait(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule()
    def let_the_model_end(self) -> None:
        self.backend.may_load.set()
        self.do(asyncio.sleep(1))  # longer than any pause that is waited for
        while self.backend.running:
            self.do(self.backend.running[-1].finish("stop"))
        assert not self._waiting(self.asked)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.do(self._stop())
        finally:
            self.loop.close()

    async def _stop(self) -> None:
        await self.editor.request("shutdown")
        self.editor.notify("exit")
        assert await self.both.status() == 0
        async with self.both:
            pass
        for id_ in self.asked:
            [answer] = self.editor.answers_to(id_)
            allowed = (ErrorCode.REQUEST_CANCELLED, ErrorCode.INVALID_PARAMS)
            assert "result" in answer or answer["error"]["code"] in allowed, answer
        assert not self.backend.running
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    def _waiting(self, asked: list[int]) -> list[int]:
        return [id_ for id_ in asked if not self.editor.answers_to(id_)]

    def _change(self, uri: str, text: str, start: dict[str, int] | None, inserted: str) -> None:
        if uri in self.texts:
            self.texts[uri] = text
        self.version += 1
        change: dict[str, object] = {"text": inserted}
        if start is not None:
            change["range"] = {"start": start, "end": start}
        document = {"uri": uri, "version": self.version}
        self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def _end(self, uri: str) -> dict[str, int]:
        lines = self.texts.get(uri, "").split("\n")
        return {"line": len(lines) - 1, "character": len(lines[-1])}

    def _written(self, stream: Any) -> str:
        return "".join(stream.texts)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
