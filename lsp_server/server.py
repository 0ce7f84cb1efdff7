"""The language server: its life on one connection, from ``initialize`` to ``exit``.

serving ▶ jsonrpc ▶ **server** ▶ workspace ▶ {completing, model_loading} ▶ session. A `LanguageServer` speaks
to one editor. What the two agree on in ``initialize`` makes a `Workspace`, which answers everything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from lsp_server import __version__
from lsp_server.copilot_messages import copilot_client
from lsp_server.jsonrpc import ErrorCode, Peer, RpcError
from lsp_server.messages import COMMANDS, ClientFacts
from lsp_server.settings import Settings
from lsp_server.transport import FramingError, framed, read_message
from model_runtime.api import Backend, ModelOptions

if TYPE_CHECKING:
    from lsp_server.metrics import Metrics
    from lsp_server.model_loading import Backends
    from lsp_server.workspace import Workspace

OpenBackend = Callable[[ModelOptions], Backend]

_INCREMENTAL: Final = 2  # TextDocumentSyncKind
_POPS_UP: Final = (".", "(", "[", "{")
"""Characters after which a pop-up comes; it comes after those of words anyway."""

_log = logging.getLogger(__name__)


class LanguageServer:
    """Serves one editor on one connection.

    `write` sends bytes. `settings` hold where the editor sets nothing. `backends` may be shared with other
    servers. `metrics` opens what counts; without it nothing is counted. With `copilot` the editor's client is
    one of Copilot's. `editor` is told the id of the editor's process, if the editor tells it.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        settings: Settings,
        backends: Backends,
        metrics: Callable[[], Metrics] | None = None,
        *,
        copilot: bool = False,
        editor: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._metrics = metrics
        self._copilot = copilot
        self._editor = editor
        self._client: ClientFacts | None = None
        self._workspace: Workspace | None = None
        self._state: Literal["new", "running", "shut down"] = "new"
        self._exit = False
        self._stopped: asyncio.Future[None] | None = None
        self._peer = Peer(lambda body: write(framed(body)), self._admit)
        self._peer.on_request("initialize", self._initialize)
        self._peer.on_request("shutdown", self._shutdown)
        self._peer.on_notification("exit", self._exited)

    async def run(self, reader: asyncio.StreamReader) -> int:
        """Serve until the editor says ``exit`` or is gone; the exit status that LSP asks for."""
        try:
            while not self._exit and (body := await read_message(reader)) is not None:
                await self._peer.receive(body)
        except FramingError as error:
            _log.error("the connection is closed: %s", error)
        finally:
            await self._stop()
        return 0 if self._state == "shut down" else 1

    def _admit(self, method: str) -> None:
        if method == "exit":
            return
        if self._state == "shut down":
            raise RpcError(ErrorCode.INVALID_REQUEST, "the server is shutting down")
        if (self._state == "new") != (method == "initialize"):
            if self._state == "new":
                raise RpcError(ErrorCode.SERVER_NOT_INITIALIZED, "the first request has to be `initialize`")
            raise RpcError(ErrorCode.INVALID_REQUEST, "the server is initialized already")
        if self._client is not None and self._workspace is None:
            self._workspace = self._open_workspace(self._client)

    async def _initialize(self, params: object) -> dict[str, object]:
        client = ClientFacts.decode(params)
        client = self._client = copilot_client(client) if self._copilot else client
        self._state = "running"
        if self._editor is not None and client.process_id is not None:
            self._editor(client.process_id)
        capabilities: dict[str, object] = {
            "positionEncoding": client.encoding,
            "textDocumentSync": {"openClose": True, "change": _INCREMENTAL, "save": True},
            "inlineCompletionProvider": {},
            "executeCommandProvider": {"commands": list(COMMANDS)},
        }
        if not client.inline_completion:
            # An editor that shows ghost text would ask for every completion twice, and show it twice.
            capabilities["completionProvider"] = {"triggerCharacters": list(_POPS_UP)}
        return {
            "capabilities": capabilities,
            "serverInfo": {"name": "fimble", "version": __version__},
        }

    def _open_workspace(self, client: ClientFacts) -> Workspace:
        """What serves the editor. It is imported now that the editor has its answer, which it waits for."""
        from lsp_server.metrics import Metrics
        from lsp_server.workspace import Workspace

        metrics = self._metrics() if self._metrics is not None else Metrics(None)
        return Workspace(self._peer, client, self._settings, self._backends, metrics)

    async def _shutdown(self, _: object) -> None:
        self._state = "shut down"
        await self._stop()

    def _exited(self, _: object) -> None:
        self._exit = True

    async def _stop(self) -> None:
        """End all that runs, once; an editor that hangs up while that is done does not cut it short."""
        if self._stopped is not None:
            await self._stopped
            return
        self._stopped = asyncio.get_running_loop().create_future()
        try:
            await self._peer.cancel_all()
            workspace, self._workspace = self._workspace, None
            if workspace is not None:
                await workspace.close()
        finally:
            self._stopped.set_result(None)
