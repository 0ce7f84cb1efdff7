"""A language client, and one that runs ``fimble serve`` in a child process.

The terminal editor and `fimble bench` use it.
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

_SHUTDOWN_SECONDS: Final = 10
_STDERR_BYTES_KEPT: Final = 4096

_RUN: Final = "from lsp_server.__main__ import run; run()"


class ServerGone(Exception):
    """The server has ended or could not be started; the message says why."""


class Connection:
    """The client side of a connection to a language server, with messages as plain JSON values."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._protocol: StrictProtocol = JsonRPCClient(StrictProtocol, converter).protocol  # type: ignore[assignment]
        self._protocol.write_to(write)
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader))

    def on_notification(self, method: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` with the parameters of each notification `method` from the server."""
        self._protocol.on(method, handler)

    async def initialize(self, capabilities: Mapping[str, object]) -> Any:
        """Send ``initialize`` and ``initialized``; returns the server's answer to the former."""
        params = {"processId": os.getpid(), "rootUri": None, "capabilities": capabilities}
        answer = await self.ask("initialize", params)
        self.notify("initialized", {})
        return answer

    def notify(self, method: str, params: object) -> None:
        """Send a notification; ignored if the connection is closed."""
        self._protocol.notify(method, params)

    async def ask(self, method: str, params: object) -> Any:
        """Send a request and wait for its result. Cancelling this sends ``$/cancelRequest``.

        Raises:
            JsonRpcException: the answer is an error.
            ServerGone: the server has ended before its answer.
        """
        try:
            if self._listening.done():
                raise ServerGone
            return await self._protocol.send_request_async(method, params)
        except ServerGone:
            raise ServerGone(await self._exit_message()) from None

    async def gone(self) -> str:
        """Wait until the server has ended, for whatever reason; returns its last message."""
        await asyncio.wait([self._listening])
        return await self._exit_message()

    async def stop(self) -> None:
        """Stop reading messages."""
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _exit_message(self) -> str:
        return "the connection is closed"

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            await self._protocol.listen(reader, until=Event())
        finally:
            self._protocol.fail_pending(ServerGone())


class ChildServer(Connection):
    """``fimble serve`` in a child process, started and shut down as editors do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        super().__init__(process.stdout, process.stdin.write)
        self._process = process
        self._stderr = b""
        self._stderr_task = asyncio.get_running_loop().create_task(self._read_stderr())

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

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

    async def stop(self, timeout: float = _SHUTDOWN_SECONDS) -> None:
        """Shut the server down as an editor does when it quits, or kill it after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._shut_down(), timeout)
        except (asyncio.TimeoutError, JsonRpcException, ServerGone):
            if self._process.returncode is None:
                self._process.kill()
        await self._process.wait()
        await super().stop()
        await asyncio.wait([self._stderr_task])

    async def _shut_down(self) -> None:
        await self.ask("shutdown", None)
        self.notify("exit", None)
        await self._process.wait()

    async def _exit_message(self) -> str:
        """The last line of its standard error, or its exit status."""
        await asyncio.wait([self._stderr_task])
        words = self._stderr.decode(errors="replace").strip()
        if not words:
            return f"it said nothing, exit status {await self._process.wait()}"
        return words.splitlines()[-1].removeprefix("fimble: ")

    async def _read_stderr(self) -> None:
        """Read its standard error, so that a full pipe does not block it, and keep the end."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_STDERR_BYTES_KEPT):
            self._stderr = (self._stderr + data)[-_STDERR_BYTES_KEPT:]
