"""The client's end of a connection, and a server in a child process: how we use ``fimble serve`` ourselves.

terminal ▶ **client** ▶ protocol ▶ pygls. What editors bring along, for what of ours is an editor.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, Final

from pygls.client import JsonRPCClient
from pygls.exceptions import JsonRpcException

from lsp_server.isolation import isolated_python
from lsp_server.protocol import StrictProtocol, converter

_QUITTING_SECONDS: Final = 10
_ERRORS_KEPT: Final = 4096

_RUN: Final = "from lsp_server.__main__ import run; run()"


class ServerGone(Exception):
    """The server has ended, or was never there; the message has its last words."""


class Connection:
    """A client's end of a connection to a language server, which speaks plain JSON values."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._protocol: StrictProtocol = JsonRPCClient(StrictProtocol, converter).protocol  # type: ignore[assignment]
        self._protocol.write_to(write)
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader))

    def on_notification(self, method: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` from now on with the parameters of the server's notifications of `method`."""
        self._protocol.on(method, handler)

    async def initialize(self, capabilities: Mapping[str, object]) -> Any:
        """Introduce ourselves; the server's answer."""
        params = {"processId": os.getpid(), "rootUri": None, "capabilities": capabilities}
        answer = await self.ask("initialize", params)
        self.notify("initialized", {})
        return answer

    def notify(self, method: str, params: object) -> None:
        """Tell the server something; nobody hears it where it has gone."""
        self._protocol.notify(method, params)

    async def ask(self, method: str, params: object) -> Any:
        """The server's answer. Who cancels this tells the server that it need not answer.

        Raises:
            JsonRpcException: the answer is an error.
            ServerGone: the server has ended before it answered.
        """
        try:
            if self._listening.done():
                raise ServerGone
            return await self._protocol.send_request_async(method, params)
        except ServerGone:
            raise ServerGone(await self._last_words()) from None

    async def gone(self) -> str:
        """Wait until the server has ended, for whatever reason; its last words."""
        await asyncio.wait([self._listening])
        return await self._last_words()

    async def stop(self) -> None:
        """Listen no more."""
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _last_words(self) -> str:
        return "the connection is closed"

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            await self._protocol.listen(reader, until=Event())
        finally:
            self._protocol.hang_up(ServerGone())


class ChildServer(Connection):
    """``fimble serve`` in a child process, started and ended as an editor does it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        super().__init__(process.stdout, process.stdin.write)
        self._process = process
        self._errors = b""
        self._overhearing = asyncio.get_running_loop().create_task(self._overhear())

    @classmethod
    async def start(cls, options: Sequence[str] = ()) -> ChildServer:
        """Start ``fimble serve`` with `options`.

        Raises:
            ServerGone: the process can't be started.
        """
        command = isolated_python(_RUN, "serve", *options)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise ServerGone(f"it can't be started: {error.strerror}") from None
        return cls(process)

    async def stop(self, patience: float = _QUITTING_SECONDS) -> None:
        """End the server as an editor that quits does; after so many seconds of `patience` in any case."""
        try:
            await asyncio.wait_for(self._quit(), patience)
        except (asyncio.TimeoutError, JsonRpcException, ServerGone):
            if self._process.returncode is None:
                self._process.kill()
        await self._process.wait()
        await super().stop()
        await asyncio.wait([self._overhearing])

    async def _quit(self) -> None:
        await self.ask("shutdown", None)
        self.notify("exit", None)
        await self._process.wait()

    async def _last_words(self) -> str:
        """The last line that it has written to its standard error."""
        await asyncio.wait([self._overhearing])
        words = self._errors.decode(errors="replace").strip()
        if not words:
            return f"it said nothing, exit status {await self._process.wait()}"
        return words.splitlines()[-1].removeprefix("fimble: ")

    async def _overhear(self) -> None:
        """Keep the end of what it writes to standard error: a pipe that nobody reads stops its writer."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_ERRORS_KEPT):
            self._errors = (self._errors + data)[-_ERRORS_KEPT:]
