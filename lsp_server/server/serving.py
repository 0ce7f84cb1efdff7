"""Runs language servers until they end: one on stdio, or one for each client of a TCP port.

Editors with the same model options share one backend. Backends that are still open at the end are not closed:
the process exits right after, and an editor that quits should not have to wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsp_server.protocol import Stdio
from lsp_server.server.connection import LanguageServer
from lsp_server.server.editor_process import EditorProcess
from lsp_server.settings import Settings
from model_runtime import data_folder
from model_runtime.api import Backend, ModelOptions, OpenBackend

if TYPE_CHECKING:
    from lsp_server.statistics import Metrics


class BackendPool:
    """The open backends, one for each model."""

    def __init__(self, open_backend: OpenBackend) -> None:
        self._open_backend = open_backend
        self._backends: dict[ModelOptions, Backend] = {}
        self._users: Counter[ModelOptions] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, options: ModelOptions) -> Backend:
        """The backend for `options`, opened on first use."""
        if options not in self._backends:
            self._backends[options] = self._open_backend(options)
        self._users[options] += 1
        return self._backends[options]

    def leave(self, options: ModelOptions) -> None:
        """An editor has disconnected; keep its backend open for the next one."""
        self._users[options] -= 1

    def release(self, options: ModelOptions) -> None:
        """An editor has switched to another model; close the backend if it has no other users."""
        self.leave(options)
        if not self._users[options]:
            backend = self._backends.pop(options)
            task = asyncio.get_running_loop().create_task(backend.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def open_metrics() -> Metrics:
    """Open the metrics, which are stored in the data folder."""
    # Imported here so as not to delay the answer to `initialize`, which does not need them.
    from lsp_server.statistics import FILE_NAME, CountStore, Metrics

    return Metrics(CountStore(data_folder() / FILE_NAME))


async def serve_stdio(settings: Settings, open_backend: OpenBackend, *, copilot: bool = False) -> int:
    """Serve one editor on stdin and stdout; returns the exit status that LSP specifies.

    `copilot` is set if the editor uses a Copilot client.
    """
    stdio = Stdio.claim()
    backends = BackendPool(open_backend)
    editor = EditorProcess(sole=True)
    server = LanguageServer(
        stdio.write, settings, backends, open_metrics, copilot=copilot, editor=editor.watch
    )
    return await editor.serve(server.run(await stdio.reader()))


async def serve_tcp(
    host: str,
    port: int,
    settings: Settings,
    open_backend: OpenBackend,
    listening: Callable[[str, int], None],
    *,
    copilot: bool = False,
) -> None:
    """Serve every editor that connects to `host` and `port`, until cancelled.

    Port 0 selects a free port; `listening` is called with the address in use. `copilot` is set if the editors
    use Copilot clients.

    Raises:
        OSError: the address cannot be listened on.
    """
    backends = BackendPool(open_backend)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        editor = EditorProcess()
        try:
            # Each connection has its own metrics, because each editor's settings can disable them.
            server = LanguageServer(
                writer.write,
                settings,
                backends,
                open_metrics,
                copilot=copilot,
                editor=editor.watch if _is_local(writer) else None,
            )
            await editor.serve(server.run(reader))
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = await asyncio.start_server(connected, host, port)
    listening(*listener.sockets[0].getsockname()[:2])
    try:
        await asyncio.get_running_loop().create_future()  # for ever
    finally:
        listener.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def _is_local(connection: asyncio.StreamWriter) -> bool:
    """Whether the client runs on this machine, which is when both ends have the same address."""
    ours, theirs = (connection.get_extra_info(name) for name in ("sockname", "peername"))
    return ours is not None and theirs is not None and ours[0] == theirs[0]
