"""A backend without a model, and an editor without a screen."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from lsp_server.server.connection import LanguageServer
from lsp_server.settings import Settings
from lsp_server.statistics.metrics import Metrics
from model_runtime.api import (
    Backend,
    BackendError,
    Chunk,
    CompletionRequest,
    LoadProgress,
    MemoryUse,
    ModelInfo,
    ModelOptions,
    Usage,
)
from tests.lsp_server.wire import framed, read_message

INFO = ModelInfo(
    *("fake", "none", 1_000_000, 2048, "cpu", "int8"),
    fill_in_the_middle=True,
    engine="native (avx2)",
    memory=MemoryUse(weight_bytes=40 << 20, cache_bytes=512 << 20, cache_tokens=65_536),
)
USAGE = Usage(prompt_tokens=5, reused_tokens=3, decoded_tokens=2)


class FakeBackend:
    """Writes `pieces` for every request, and waits where a test tells it to.

    `may_load` and `may_finish` are events: loading waits for the first one, every completion waits for the
    second one when it has written its pieces. `requests` and `closed` say what was asked and which streams
    have ended; `waiting` and `freed` are set when a completion has come to `may_finish`, and when one has
    ended.
    """

    def __init__(self, *pieces: str, error: BackendError | None = None, info: ModelInfo = INFO) -> None:
        self.pieces = pieces
        self.info = info
        self.error = error
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.waiting = asyncio.Event()
        self.freed = asyncio.Event()
        self.requests: list[CompletionRequest] = []
        self.closed: list[CompletionRequest] = []

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        await self.may_load.wait()
        if self.error is not None:
            raise self.error
        if progress is not None:
            progress(0.5, "half")
            await asyncio.sleep(0)
        return self.info

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        await self.load()
        self.requests.append(request)
        try:
            for piece in self.pieces:
                yield Chunk(piece)
                await asyncio.sleep(0)  # a model takes its time: whoever waits for a piece sees it
            self.waiting.set()
            await self.may_finish.wait()
            yield Chunk("", "stop", USAGE)
        finally:
            self.closed.append(request)
            self.freed.set()

    async def close(self) -> None:
        pass


class Editor:
    """Speaks raw JSON-RPC to a server, and keeps everything that the server said."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._reader = reader
        self._write = write
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        self._news = asyncio.Event()
        self.answers_progress = True
        self.answers_questions = True
        self.settings: object = None
        self.received: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any] | bytes) -> None:
        """Send a message as it is; bytes as a body that may not even be JSON."""
        self._write(framed(message if isinstance(message, bytes) else json.dumps(message).encode()))

    def notify(self, method: str, params: object = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: object = None) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Send a request; its id, and the answer to come, an error or a result."""
        id_ = next(self._ids)
        self._answers[id_] = asyncio.get_running_loop().create_future()
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
        return id_, self._answers[id_]

    async def request(self, method: str, params: object = None) -> Any:
        """The result of a request that has to succeed."""
        answer = await self.ask(method, params)[1]
        assert "error" not in answer, answer
        return answer["result"]

    async def error(self, method: str, params: object = None) -> int:
        """The code of the error that a request has to get."""
        answer = await self.ask(method, params)[1]
        code: int = answer["error"]["code"]
        return code

    async def start(self, **params: object) -> dict[str, Any]:
        """Initialize the server; its capabilities."""
        result = await self.request("initialize", {"processId": None, "capabilities": {}, **params})
        self.notify("initialized", {})
        capabilities: dict[str, Any] = result["capabilities"]
        return capabilities

    def open(self, text: str, uri: str = "file:///a.py", language: str = "python") -> None:
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def type(self, text: str, line: int = 0, character: int = 0, uri: str = "file:///a.py") -> None:
        """Insert `text` at a position."""
        place = {"line": line, "character": character}
        change = {"range": {"start": place, "end": place}, "text": text}
        document = {"uri": uri, "version": 2}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    async def seen(self, method: str, number: int = 1) -> list[dict[str, Any]]:
        """The parameters of the notifications of `method`, when at least `number` have come."""
        while True:
            self._news.clear()
            found = [message["params"] for message in self.received if message.get("method") == method]
            if len(found) >= number:
                return found
            assert not self._listening.done(), "the server has gone"
            await self._news.wait()

    def answers_to(self, id_: int | None) -> list[dict[str, Any]]:
        return [message for message in self.received if "method" not in message and message["id"] == id_]

    async def closed(self) -> None:
        """Wait until the server has closed the connection."""
        await self._listening

    async def _listen(self) -> None:
        while (body := await read_message(self._reader)) is not None:
            message = json.loads(body)
            self.received.append(message)
            if (
                message.get("method") == "window/workDoneProgress/create" and self.answers_progress
            ) or message.get("method") == "client/registerCapability":
                self.send({"jsonrpc": "2.0", "id": message["id"], "result": None})
            elif message.get("method") == "workspace/configuration" and self.answers_questions:
                self.send({"jsonrpc": "2.0", "id": message["id"], "result": [self.settings]})
            elif "method" not in message and message["id"] in self._answers:
                answer = self._answers[message["id"]]
                assert not answer.done(), f"request {message['id']} was answered twice"
                answer.set_result(message)
            self._news.set()
        self._news.set()


class OneBackend:
    """Gives the same backend for every model, and keeps which ones were asked for and let go."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.got: list[ModelOptions] = []
        self.released: list[ModelOptions] = []

    def get(self, options: ModelOptions) -> Backend:
        self.got.append(options)
        return self.backend

    def release(self, options: ModelOptions) -> None:
        self.released.append(options)

    def leave(self, options: ModelOptions) -> None:
        self.released.append(options)


class EditorAndServer:
    """An `Editor` and a `LanguageServer` in one event loop, with nothing between them."""

    def __init__(
        self,
        backend: Backend,
        settings: Settings | None = None,
        metrics: Metrics | None = None,
        *,
        copilot: bool = False,
    ) -> None:
        to_server, to_editor = asyncio.StreamReader(), asyncio.StreamReader()
        self.backends = OneBackend(backend)
        opened = None if metrics is None else lambda: metrics
        server = LanguageServer(
            to_editor.feed_data, settings or Settings(), self.backends, opened, copilot=copilot
        )
        self._to_server, self._to_editor = to_server, to_editor
        self._running = asyncio.get_running_loop().create_task(server.run(to_server))
        self.editor = Editor(to_editor, to_server.feed_data)

    async def status(self) -> int:
        """The server's exit status, when it has ended."""
        return await self._running

    def feed(self, data: bytes) -> None:
        """Send bytes that may be anything."""
        self._to_server.feed_data(data)

    def hang_up(self) -> None:
        """End the connection as a dying editor does."""
        self._to_server.feed_eof()

    async def __aenter__(self) -> Editor:
        return self.editor

    async def __aexit__(self, *_: object) -> None:
        if not self._running.done():
            self.hang_up()
        await self._running
        self._to_editor.feed_eof()
        await self.editor.closed()
