"""Handles an editor's documents, configuration and commands.

Completion requests are delegated to `CompletionHandlers`, Copilot's own messages to `Copilot`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.completion import CompletionHandlers, Feedback, Session, SessionServices
from lsp_server.context import Context
from lsp_server.document import Document, Edit
from lsp_server.protocol import (
    ACCEPT,
    CLEAR_CACHE,
    DID_ACCEPT_PART,
    DID_FOCUS,
    DID_SHOW,
    NEXT_MODEL,
    STATUS,
    TOGGLE,
    DidFocusParams,
    StatusParams,
    StrictProtocol,
    range_of,
)
from lsp_server.server.client_facts import ClientFacts
from lsp_server.server.configuration import pull_settings, pushed_settings, register_for_changes
from lsp_server.server.copilot import Copilot
from lsp_server.server.model_loading import BackendProvider, EditorModel, next_model, usable_models
from lsp_server.server.status import Status
from lsp_server.settings import Settings, read_settings
from lsp_server.statistics import Metrics
from model_runtime.api import BackendError


class Workspace:
    """Serves one editor from ``initialize`` to ``shutdown``.

    `settings` are the defaults for what the editor does not set.
    """

    def __init__(
        self,
        protocol: StrictProtocol,
        client: ClientFacts,
        settings: Settings,
        backends: BackendProvider,
        metrics: Metrics,
    ) -> None:
        self._protocol = protocol
        self._client = client
        self._initial_settings, self._mistakes = read_settings(client.options, settings)
        self._editor_settings = self._initial_settings
        self._status = Status(self._send_status if client.status or client.copilot else None)
        self._sessions: dict[str, Session] = {}
        self._metrics = metrics
        self._feedback = Feedback(
            self._sessions, metrics, lambda: self._status.model, tells_shown=client.copilot
        )
        self._context = Context(client.roots)
        self._services = SessionServices(
            backends.get(self._initial_settings.model_options),
            self._initial_settings,
            self._context,
            on_generating=self._status.generating,
            on_insert=self._feedback.inserted,
        )
        self._model = EditorModel(self._services, backends, protocol, self._status, self._report_failure)
        self._handlers = CompletionHandlers(
            self._sessions,
            self._feedback,
            self._is_enabled,
            self._send_progress,
            self._report_failure,
            tells_source=client.source,
            markdown=client.markdown,
        )
        self._shown_messages: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.enabled = self._initial_settings.metrics
        self._register(protocol)
        self._copilot = Copilot(protocol, self._handlers, self._change_model) if client.copilot else None

    async def close(self) -> None:
        """End all running work."""
        self._model.close()
        self._feedback.close()
        for task in self._tasks:
            task.cancel()
        for session in self._sessions.values():
            session.close()
        ending = [session.wait_closed() for session in self._sessions.values()]
        await asyncio.gather(*self._tasks, *ending, return_exceptions=True)
        # Close now, not at exit: editors may kill the process as soon as `shutdown` is answered.
        await asyncio.to_thread(self._metrics.close)

    def _register(self, protocol: StrictProtocol) -> None:
        protocol.on(types.INITIALIZED, self._initialized)
        protocol.on(types.TEXT_DOCUMENT_DID_OPEN, self._did_open)
        protocol.on(types.TEXT_DOCUMENT_DID_CHANGE, self._did_change)
        protocol.on(types.TEXT_DOCUMENT_DID_SAVE, self._did_save)
        protocol.on(DID_FOCUS, self._did_focus)
        protocol.on(types.TEXT_DOCUMENT_DID_CLOSE, self._did_close)
        protocol.on(types.WORKSPACE_DID_CHANGE_CONFIGURATION, self._did_change_configuration)
        protocol.on(types.WORKSPACE_EXECUTE_COMMAND, self._execute)
        protocol.on(types.TEXT_DOCUMENT_INLINE_COMPLETION, self._handlers.inline)
        protocol.on(types.TEXT_DOCUMENT_COMPLETION, self._handlers.popup)
        protocol.on(DID_SHOW, self._handlers.shown)
        protocol.on(DID_ACCEPT_PART, self._handlers.partly_accepted)

    def _initialized(self, params: Any) -> None:
        self._show_mistakes(self._mistakes)
        self._run_in_background(self._configure_and_load())

    async def _configure_and_load(self) -> None:
        """Request the editor's settings, then load the model that they name."""
        if self._client.registers_configuration:
            self._run_in_background(register_for_changes(self._protocol))
        if self._client.configuration:
            self._configure(await pull_settings(self._protocol))
        self._model.load(report=self._client.work_done_progress)

    def _did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        opened = params.text_document
        document = Document(
            opened.text,
            uri=opened.uri,
            language=opened.language_id,
            version=opened.version,
            encoding=self._client.encoding,
        )
        self._close_session(opened.uri)
        self._sessions[opened.uri] = Session(document, self._services)
        self._context.opened(document)

    def _did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        changed = params.text_document
        session = self._sessions.get(changed.uri)
        if session is None:
            raise JsonRpcInvalidParams(f"{changed.uri} is not open")
        session.edit([_edit(change) for change in params.content_changes], changed.version)

    def _did_save(self, params: types.DidSaveTextDocumentParams) -> None:
        self._context.saved(params.text_document.uri)

    def _did_focus(self, params: DidFocusParams) -> None:
        self._context.focused(params.text_document.uri)

    def _did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        self._close_session(uri)
        self._context.closed(uri)

    def _close_session(self, uri: str) -> None:
        session = self._sessions.pop(uri, None)
        if session is not None:
            session.close()
            self._feedback.close_document(session.document)

    def _did_change_configuration(self, params: Any) -> None:
        options = pushed_settings(params)
        if options is not None:
            self._reconfigure(options)
        elif self._client.configuration:
            self._run_in_background(self._pull())
        if self._copilot is not None:
            self._run_in_background(self._copilot.configured(params))

    async def _pull(self) -> None:
        self._reconfigure(await pull_settings(self._protocol))

    def _reconfigure(self, options: object) -> None:
        """Apply changed settings, and start loading the model if it is another one."""
        if self._configure(options):
            self._model.load(report=self._client.work_done_progress)

    def _configure(self, options: object) -> bool:
        """Apply the editor's settings; those that it omits get their initial values.

        Returns whether the model is another one now, which is not loaded yet.
        """
        configured, mistakes = read_settings(options, self._initial_settings)
        self._show_mistakes(mistakes)
        if configured != self._editor_settings:
            chosen = self._services.settings.model  # may come from a command; kept until the setting changes
            model = chosen if configured.model == self._editor_settings.model else configured.model
            self._editor_settings = configured
            return self._use(replace(configured, model=model))
        return False

    def _is_enabled(self, language: str) -> bool:
        """Whether documents in a language get completions."""
        return self._status.enabled and self._services.settings.languages.allow(language)

    def _use(self, settings: Settings) -> bool:
        """Use `settings` from now on; returns whether the model is another one, which is not loaded yet."""
        self._services.settings = settings
        self._metrics.enabled = settings.metrics
        switched = self._model.switch(settings.model_options)
        if switched:
            self._services.debounce.clear_answers()
            self._shown_messages.clear()
        for session in self._sessions.values():
            session.clear_cache()
        return switched

    async def _execute(self, params: types.ExecuteCommandParams) -> object:
        if params.command == ACCEPT:
            self._handlers.accept(params.arguments[0] if params.arguments else None)
            return None
        if params.command == TOGGLE:
            return self._toggle()
        if params.command == NEXT_MODEL:
            return await self._next_model()
        if params.command == CLEAR_CACHE:
            for session in self._sessions.values():
                session.clear_cache()
            self._show_message(types.MessageType.Info, "cached completions are cleared")
            return None
        raise JsonRpcInvalidParams(f"there is no command {params.command!r}")

    def _toggle(self) -> dict[str, object]:
        enabled = self._status.toggle()
        if not enabled:
            for session in self._sessions.values():
                session.close()
        self._show_message(types.MessageType.Info, f"completions are {'on' if enabled else 'off'}")
        return {"enabled": enabled}

    async def _next_model(self) -> dict[str, object]:
        usable = await usable_models()
        model = next_model(usable, self._services.settings.model)
        if not self._change_model(model):
            none = "there is no other model on this machine: `fimble models` lists those to be had"
            self._show_message(types.MessageType.Info, none)
        return {"model": model}

    def _change_model(self, model: str | None) -> bool:
        """Switch to another model and start loading it; False if it is the current one."""
        settings = self._services.settings
        if model == settings.model:
            return False
        self._use(replace(settings, model=model))
        self._model.load(report=self._client.work_done_progress)
        return True

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task that ends with the workspace."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _report_failure(self, error: BackendError) -> None:
        self._status.error(str(error))
        self._show_once(types.MessageType.Error, str(error))

    def _show_mistakes(self, mistakes: Sequence[str]) -> None:
        for mistake in mistakes:
            self._show_once(types.MessageType.Error, mistake)

    def _show_once(self, kind: types.MessageType, message: str) -> None:
        """Show a message unless it was shown before, since errors may recur with every request."""
        if message not in self._shown_messages:
            self._shown_messages.add(message)
            self._show_message(kind, message)

    def _show_message(self, kind: types.MessageType, message: str) -> None:
        params = types.ShowMessageParams(kind, f"fimble: {message}")
        self._protocol.notify(types.WINDOW_SHOW_MESSAGE, params)

    def _send_progress(self, progress: types.ProgressParams) -> None:
        self._protocol.notify(types.PROGRESS, progress)

    def _send_status(self, status: StatusParams) -> None:
        if self._client.status:
            self._protocol.notify(STATUS, status)
        if self._copilot is not None:
            self._copilot.send_status(status)


def _edit(change: types.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, types.TextDocumentContentChangePartial):
        return Edit(change.text, range_of(change.range))
    return Edit(change.text)
