"""What an editor has open, and how it wants it completed.

server ▶ **workspace** ▶ {copilot, completing, configuration, model_loading, messages} ▶ session. Handlers for
all that an initialized editor says: documents come, change and go, settings change, commands are run.
Completions themselves are `completing`'s, and what only Copilot's clients say is `copilot`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from lsp_server.completion import Completing, Feedback, Session, SessionServices
from lsp_server.context import Context
from lsp_server.document import Document
from lsp_server.protocol import (
    ACCEPT,
    CLEAR_CACHE,
    NEXT_MODEL,
    TOGGLE,
    ChangedDocument,
    ClientFacts,
    Command,
    ErrorCode,
    OpenedDocument,
    Peer,
    RpcError,
    decode_uri,
)
from lsp_server.server.configuration import pulled, pushed, register
from lsp_server.server.copilot import Copilot
from lsp_server.server.model_loading import Backends, ModelInUse, next_model, usable_models
from lsp_server.server.status import Status
from lsp_server.settings import Settings, read_settings
from lsp_server.statistics import Metrics
from model_runtime.api import BackendError

_ERROR, _INFO = 1, 3  # MessageType


class Workspace:
    """Serves one editor from ``initialize`` to ``shutdown``.

    `settings` hold where the editor sets nothing.
    """

    def __init__(
        self, peer: Peer, client: ClientFacts, settings: Settings, backends: Backends, metrics: Metrics
    ) -> None:
        self._peer = peer
        self._client = client
        self._initial, self._mistakes = read_settings(client.options, settings)
        self._configured = self._initial
        self._status = Status(self._tell_status if client.status or client.copilot else None)
        self._model = ModelInUse(self._initial.model_options, backends, peer, self._status, self._failed)
        self._context = Context(client.roots)
        self._sessions: dict[str, Session] = {}
        self._metrics = metrics
        self._feedback = Feedback(self._sessions, metrics, self._status.model, tells_shown=client.copilot)
        self._completing = Completing(
            self._sessions,
            self._feedback,
            peer,
            self._failed,
            tells_source=client.source,
            markdown=client.markdown,
        )
        self._services = SessionServices(
            lambda: self._model.backend,
            self._initial,
            self._context,
            on_generating=self._status.generating,
            on_insert=self._feedback.inserted,
        )
        self._told: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.enabled = self._initial.metrics
        self._register(peer)
        self._copilot = Copilot(peer, self._completing, self._change_model) if client.copilot else None

    async def close(self) -> None:
        """End all that runs."""
        self._model.leave()
        self._feedback.close()
        for task in self._tasks:
            task.cancel()
        for session in self._sessions.values():
            session.close()
        ending = [session.wait_closed() for session in self._sessions.values()]
        await asyncio.gather(*self._tasks, *ending, return_exceptions=True)
        # Now, not at the process's end: editors may kill it as soon as `shutdown` is answered.
        await asyncio.to_thread(self._metrics.close)

    def _register(self, peer: Peer) -> None:
        peer.on_notification("initialized", self._initialized)
        peer.on_notification("textDocument/didOpen", self._did_open)
        peer.on_notification("textDocument/didChange", self._did_change)
        peer.on_notification("textDocument/didSave", self._did_save)
        peer.on_notification("textDocument/didFocus", self._did_focus)
        peer.on_notification("textDocument/didClose", self._did_close)
        peer.on_notification("workspace/didChangeConfiguration", self._did_change_configuration)
        peer.on_request("workspace/executeCommand", self._execute)
        peer.on_request("textDocument/inlineCompletion", self._completing.inline)
        peer.on_request("textDocument/completion", self._completing.popup)
        peer.on_notification("textDocument/didShowCompletion", self._completing.shown)
        peer.on_notification("textDocument/didPartiallyAcceptCompletion", self._completing.partly_accepted)

    def _initialized(self, _: object) -> None:
        self._tell_mistakes(self._mistakes)
        self._run(self._begin())

    async def _begin(self) -> None:
        """Learn the editor's settings, then load the model that they name."""
        if self._client.registers_configuration:
            self._run(register(self._peer))
        if self._client.configuration:
            self._configure(await pulled(self._peer))
        self._model.load(report=self._client.work_done_progress)

    def _did_open(self, params: object) -> None:
        opened = OpenedDocument.decode(params)
        document = Document(
            opened.text,
            uri=opened.uri,
            language=opened.language,
            version=opened.version,
            encoding=self._client.encoding,
        )
        self._close_session(opened.uri)
        self._sessions[opened.uri] = Session(document, self._services)
        self._context.opened(document)

    def _did_change(self, params: object) -> None:
        changed = ChangedDocument.decode(params)
        session = self._sessions.get(changed.uri)
        if session is None:
            raise RpcError(ErrorCode.INVALID_PARAMS, f"{changed.uri} is not open")
        session.edit(changed.edits, changed.version)

    def _did_save(self, params: object) -> None:
        self._context.saved(decode_uri(params))

    def _did_focus(self, params: object) -> None:
        self._context.focused(decode_uri(params))

    def _did_close(self, params: object) -> None:
        uri = decode_uri(params)
        self._close_session(uri)
        self._context.closed(uri)

    def _close_session(self, uri: str) -> None:
        session = self._sessions.pop(uri, None)
        if session is not None:
            session.close()
            self._feedback.close_document(session.document)

    def _did_change_configuration(self, params: object) -> None:
        options = pushed(params)
        if options is not None:
            self._reconfigure(options)
        elif self._client.configuration:
            self._run(self._pull())
        if self._copilot is not None:
            self._run(self._copilot.configured(params))

    async def _pull(self) -> None:
        self._reconfigure(await pulled(self._peer))

    def _reconfigure(self, options: object) -> None:
        """Take over settings that have changed. A model that is chosen is loaded before the next key."""
        if self._configure(options):
            self._model.load(report=self._client.work_done_progress)

    def _configure(self, options: object) -> bool:
        """Take over the editor's settings; what it says nothing of is as it was at the start.

        Whether there is another model now, which is to be loaded.
        """
        configured, mistakes = read_settings(options, self._initial)
        self._tell_mistakes(mistakes)
        if configured != self._configured:
            chosen = self._services.settings.model  # by hand, perhaps, which stands until it is set anew
            model = chosen if configured.model == self._configured.model else configured.model
            self._configured = configured
            return self._use(replace(configured, model=model))
        return False

    def _use(self, settings: Settings) -> bool:
        """Complete with `settings` from now on; whether that takes another model, which is not loaded yet."""
        self._services.settings = settings
        self._metrics.enabled = settings.metrics
        exchanged = self._model.exchange(settings.model_options)
        if exchanged:
            self._services.debounce.clear_answers()
            self._told.clear()
        for session in self._sessions.values():
            session.clear_cache()
        return exchanged

    async def _execute(self, params: object) -> object:
        command = Command.decode(params)
        if command.name == ACCEPT:
            self._completing.accept(command.argument)
            return None
        if command.name == TOGGLE:
            return self._toggle()
        if command.name == NEXT_MODEL:
            return await self._next_model()
        if command.name == CLEAR_CACHE:
            for session in self._sessions.values():
                session.clear_cache()
            self._tell(_INFO, "what was remembered is forgotten")
            return None
        raise RpcError(ErrorCode.INVALID_PARAMS, f"there is no command {command.name!r}")

    def _toggle(self) -> dict[str, object]:
        enabled = self._completing.enabled = not self._completing.enabled
        self._status.enabled(enabled)
        if not enabled:
            for session in self._sessions.values():
                session.close()
        self._tell(_INFO, f"completions are {'on' if enabled else 'off'}")
        return {"enabled": enabled}

    async def _next_model(self) -> dict[str, object]:
        usable = await usable_models()
        model = next_model(usable, self._services.settings.model)
        if not self._change_model(model):
            self._tell(
                _INFO, "there is no other model on this machine: `fimble models` lists those to be had"
            )
        return {"model": model}

    def _change_model(self, model: str | None) -> bool:
        """Complete with another model from now on; False where it is the same one."""
        settings = self._services.settings
        if model == settings.model:
            return False
        self._use(replace(settings, model=model))
        self._model.load(report=self._client.work_done_progress)
        return True

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed(self, error: BackendError) -> None:
        self._status.error(str(error))
        self._tell_once(_ERROR, str(error))

    def _tell_mistakes(self, mistakes: Sequence[str]) -> None:
        for mistake in mistakes:
            self._tell_once(_ERROR, mistake)

    def _tell_once(self, kind: int, message: str) -> None:
        """Show the user a message, once: the same one at every key would be worse than the mistake."""
        if message not in self._told:
            self._told.add(message)
            self._tell(kind, message)

    def _tell(self, kind: int, message: str) -> None:
        self._peer.notify("window/showMessage", {"type": kind, "message": f"fimble: {message}"})

    def _tell_status(self, params: dict[str, object]) -> None:
        if self._client.status:
            self._peer.notify("fimble/status", params)
        if self._copilot is not None:
            self._copilot.tell_status(params)
