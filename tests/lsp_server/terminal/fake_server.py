"""A server that says what a test tells it to, at the other end of a `Connection`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lsp_server.client import Connection, ServerGone
from tests.lsp_server.wire import framed, read_message


class FakeServer:
    """Keeps all that its client says. `initialize` is answered, everything else when a test does it."""

    def __init__(self) -> None:
        self._from_client, self._to_client = asyncio.StreamReader(), asyncio.StreamReader()
        self.heard: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.connection = Connection(self._to_client, self._from_client.feed_data)
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    def named(self, method: str) -> list[dict[str, Any]]:
        """What was said with `method` so far."""
        return [message for message in self.heard if message["method"] == method]

    async def said(self, method: str, number: int = 1) -> dict[str, Any]:
        """Message `number` of `method`, when it has come."""
        while len(found := self.named(method)) < number:
            self._news.clear()
            await self._news.wait()
        return found[number - 1]

    def answer(self, request: dict[str, Any], result: object) -> None:
        self._send({"id": request["id"], "result": result})

    def notify(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def die(self) -> None:
        self._to_client.feed_eof()

    async def close(self) -> None:
        self._from_client.feed_eof()
        await self._listening

    def _send(self, message: dict[str, object]) -> None:
        self._to_client.feed_data(framed(json.dumps({"jsonrpc": "2.0", **message}).encode()))

    async def _listen(self) -> None:
        while (body := await read_message(self._from_client)) is not None:
            message = json.loads(body)
            self.heard.append(message)
            if message["method"] in ("initialize", "workspace/executeCommand"):
                self.answer(message, None)
            self._news.set()


class FakeServers:
    """Starts the servers that are left to start, one after the other."""

    def __init__(self, *servers: FakeServer) -> None:
        self._left = list(servers)

    async def connect(self) -> Connection:
        if not self._left:
            raise ServerGone("none is left")
        return self._left.pop(0).connection
