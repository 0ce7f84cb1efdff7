"""The lifecycle of one connection to an editor, from ``initialize`` to ``exit``.

A `LanguageServer` negotiates capabilities in ``initialize``, then creates a `Workspace`, which handles all
other messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Literal

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidRequest, JsonRpcServerNotInitialized
from pygls.server import JsonRPCServer

from lsp_server import __version__
from lsp_server.protocol import COMMANDS, StrictProtocol, converter
from lsp_server.server.client_facts import ClientFacts
from lsp_server.settings import Settings

if TYPE_CHECKING:
    from lsp_server.server.model_loading import BackendProvider
    from lsp_server.server.workspace import Workspace
    from lsp_server.statistics import Metrics

_TRIGGER_CHARACTERS: Final = (".", "(", "[", "{")
"""Characters after which a pop-up opens, in addition to those of words."""

_log = logging.getLogger(__name__)


class LanguageServer(JsonRPCServer):
    """Serves one editor on one connection.

    `write` sends bytes. `settings` are the defaults for what the editor does not set. `backends` may be
    shared with other servers. `metrics` opens the statistics; without it nothing is counted. `copilot` is set
    for Copilot clients. `editor` is called with the id of the editor's process, if the editor sends it.
    """

    protocol: StrictProtocol

    def __init__(
        self,
        write: Callable[[bytes], None],
        settings: Settings,
        backends: BackendProvider,
        metrics: Callable[[], Metrics] | None = None,
        *,
        copilot: bool = False,
        editor: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(StrictProtocol, converter)
        self.protocol.write_to(write)
        self.protocol.admit = self._admit
        self._settings = settings
        self._backends = backends
        self._metrics = metrics
        self._copilot = copilot
        self._editor = editor
        self._client: ClientFacts | None = None
        self._workspace: Workspace | None = None
        self._state: Literal["new", "running", "shut down"] = "new"
        self._exit = Event()
        self._stopped: asyncio.Future[None] | None = None
        self.protocol.on(types.INITIALIZE, self._initialize)
        self.protocol.on(types.SHUTDOWN, self._shutdown)
        self.protocol.on(types.EXIT, self._exited)

    async def run(self, reader: asyncio.StreamReader) -> int:
        """Serve until ``exit`` or the end of the connection; returns the exit status that LSP specifies."""
        try:
            await self.protocol.listen(reader, until=self._exit)
        finally:
            await self._stop()
        return 0 if self._state == "shut down" else 1

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log that a message could not be sent; pygls would log its content."""
        _log.error("a message could not be sent: %s", type(error).__name__)

    def _admit(self, method: str) -> None:
        if method == types.EXIT:
            return
        if self._state == "shut down":
            raise JsonRpcInvalidRequest("the server is shutting down")
        if (self._state == "new") != (method == types.INITIALIZE):
            if self._state == "new":
                raise JsonRpcServerNotInitialized("the first request has to be `initialize`")
            raise JsonRpcInvalidRequest("the server is initialized already")
        if self._client is not None and self._workspace is None:
            self._workspace = self._open_workspace(self._client)

    async def _initialize(self, params: Any) -> types.InitializeResult:
        client = ClientFacts.of(params)
        client = self._client = client.as_copilot_client() if self._copilot else client
        self._state = "running"
        if self._editor is not None and client.process_id is not None:
            self._editor(client.process_id)
        capabilities = types.ServerCapabilities(
            position_encoding=client.encoding,
            text_document_sync=types.TextDocumentSyncOptions(
                open_close=True, change=types.TextDocumentSyncKind.Incremental, save=True
            ),
            inline_completion_provider=types.InlineCompletionOptions(),
            execute_command_provider=types.ExecuteCommandOptions(COMMANDS),
        )
        if not client.inline_completion:
            # An editor with ghost text would otherwise request and show every completion twice.
            capabilities.completion_provider = types.CompletionOptions(trigger_characters=_TRIGGER_CHARACTERS)
        return types.InitializeResult(capabilities, types.ServerInfo("fimble", __version__))

    def _open_workspace(self, client: ClientFacts) -> Workspace:
        """Create the workspace. Its module is imported only now, so as not to delay ``initialize``."""
        from lsp_server.server.workspace import Workspace
        from lsp_server.statistics import Metrics

        metrics = self._metrics() if self._metrics is not None else Metrics(None)
        return Workspace(self.protocol, client, self._settings, self._backends, metrics)

    async def _shutdown(self, params: Any) -> None:
        self._state = "shut down"
        await self._stop()

    def _exited(self, params: Any) -> None:
        self._exit.set()

    async def _stop(self) -> None:
        """End all running work, once. Later calls wait for the first: a disconnect does not interrupt it."""
        if self._stopped is not None:
            await self._stopped
            return
        self._stopped = asyncio.get_running_loop().create_future()
        try:
            await self.protocol.cancel_all()
            workspace, self._workspace = self._workspace, None
            if workspace is not None:
                await workspace.close()
        finally:
            self._stopped.set_result(None)
