"""The language server: what an editor asks, decoded, awaited and encoded.

jsonrpc ▶ **server** ▶ session. A `LanguageServer` speaks to one editor and holds the documents that are
open there. What a completion is, it leaves to their sessions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Literal

from lsp_server import __version__
from lsp_server.document import Document, Position, Range
from lsp_server.jsonrpc import ErrorCode, Peer, RpcError
from lsp_server.messages import (
    ChangedDocument,
    ClientFacts,
    CompletionParams,
    OpenedDocument,
    decode_uri,
    encode_range,
)
from lsp_server.model_loading import load_with_report
from lsp_server.session import Selection, Session
from lsp_server.settings import Settings, read_settings
from lsp_server.transport import FramingError, framed, read_message
from model_runtime.api import Backend, BackendError, ModelOptions

OpenBackend = Callable[[ModelOptions], Backend]

_INCREMENTAL: Final = 2  # TextDocumentSyncKind
_ERROR, _INFO = 1, 3  # MessageType
_TEXT, _AS_IS = 1, 1  # CompletionItemKind, InsertTextMode

_log = logging.getLogger(__name__)


class LanguageServer:
    """Serves one editor on one connection.

    `write` sends bytes. `settings` hold where the editor sets nothing. `open_backend` gives the backend for
    the model that the settings name; it may give the same one to several servers, so none closes it.
    """

    def __init__(self, write: Callable[[bytes], None], settings: Settings, open_backend: OpenBackend) -> None:
        self._settings = settings
        self._open_backend = open_backend
        self._backend: Backend | None = None
        self._client = ClientFacts(encoding="utf-16")
        self._mistakes: list[str] = []
        self._errors_told: set[str] = set()
        self._sessions: dict[str, Session] = {}
        self._loading: asyncio.Task[None] | None = None
        self._state: Literal["new", "running", "shut down"] = "new"
        self._exit = False
        self._peer = Peer(lambda body: write(framed(body)), self._admit)
        self._register(self._peer)

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

    def _register(self, peer: Peer) -> None:
        peer.on_request("initialize", self._initialize)
        peer.on_notification("initialized", self._initialized)
        peer.on_notification("textDocument/didOpen", self._did_open)
        peer.on_notification("textDocument/didChange", self._did_change)
        peer.on_notification("textDocument/didClose", self._did_close)
        peer.on_request("textDocument/inlineCompletion", self._inline_completion)
        peer.on_request("textDocument/completion", self._completion)
        peer.on_request("shutdown", self._shutdown)
        peer.on_notification("exit", self._exited)

    def _admit(self, method: str) -> None:
        if method == "exit":
            return
        if self._state == "shut down":
            raise RpcError(ErrorCode.INVALID_REQUEST, "the server is shutting down")
        if (self._state == "new") != (method == "initialize"):
            if self._state == "new":
                raise RpcError(ErrorCode.SERVER_NOT_INITIALIZED, "the first request has to be `initialize`")
            raise RpcError(ErrorCode.INVALID_REQUEST, "the server is initialized already")

    async def _initialize(self, params: object) -> dict[str, object]:
        self._client = ClientFacts.decode(params)
        self._settings, self._mistakes = read_settings(self._client.options, self._settings)
        self._backend = self._open_backend(self._settings.model_options)
        self._state = "running"
        capabilities: dict[str, object] = {
            "positionEncoding": self._client.encoding,
            "textDocumentSync": {"openClose": True, "change": _INCREMENTAL},
            "inlineCompletionProvider": {},
        }
        if not self._client.inline_completion:
            # An editor that shows ghost text would ask for every completion twice, and show it twice.
            capabilities["completionProvider"] = {}
        return {
            "capabilities": capabilities,
            "serverInfo": {"name": "fimble", "version": __version__},
        }

    def _initialized(self, _: object) -> None:
        for mistake in self._mistakes:
            self._tell_error(f"fimble: {mistake}")
        self._loading = asyncio.get_running_loop().create_task(self._load())

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
        self._sessions[opened.uri] = Session(document, self._the_backend(), self._settings)

    def _did_change(self, params: object) -> None:
        changed = ChangedDocument.decode(params)
        session = self._sessions.get(changed.uri)
        if session is None:
            raise RpcError(ErrorCode.INVALID_PARAMS, f"{changed.uri} is not open")
        for change in changed.changes:
            session.document.replace(change.text, change.where)
        session.document.version = changed.version

    def _did_close(self, params: object) -> None:
        self._close_session(decode_uri(params))

    async def _inline_completion(self, params: object) -> dict[str, object] | None:
        asked = CompletionParams.decode(params)
        session = self._sessions.get(asked.uri)
        if session is None:
            return None  # closed a moment ago, say: nothing to complete, and no mistake either
        place = session.document.clamp(asked.position)
        selected = asked.selected
        where = selected.where if selected else Range(place, place)

        def items(text: str) -> dict[str, object]:
            new_text = selected.text + text if selected else text
            return {"items": [{"insertText": new_text, "range": encode_range(where)}] if text else []}

        def show(text: str) -> None:
            self._peer.notify("$/progress", {"token": asked.partial_result_token, "value": items(text)})

        streams = asked.partial_result_token is not None
        text = await self._complete(session, place, selected, show if streams else None)
        return None if text is None else items(text)

    async def _completion(self, params: object) -> dict[str, object] | None:
        asked = CompletionParams.decode(params)
        session = self._sessions.get(asked.uri)
        if session is None:
            return None
        place = session.document.clamp(asked.position)
        # Editors sift pop-up items by the word that is being typed, so the item has to contain it.
        start, word = session.document.word_before(place)
        text = await self._complete(session, place, None, None)
        if text is None:
            return None
        first_line = (word + text).strip().partition("\n")[0]
        item = {
            "label": first_line,
            "kind": _TEXT,
            "detail": "fimble",
            "textEdit": {"range": encode_range(Range(start, place)), "newText": word + text},
            "insertTextMode": _AS_IS,
        }
        return {"isIncomplete": True, "items": [item] if text else []}

    async def _complete(
        self,
        session: Session,
        place: Position,
        selection: Selection | None,
        show: Callable[[str], None] | None,
    ) -> str | None:
        """The session's completion, or None where there is none to show, whatever the reason."""
        try:
            return await session.complete(place, selection, show)
        except BackendError as error:
            self._tell_error(f"fimble: {error}")
            return None

    async def _shutdown(self, _: object) -> None:
        self._state = "shut down"
        await self._stop()

    def _exited(self, _: object) -> None:
        self._exit = True

    async def _load(self) -> None:
        backend = self._the_backend()
        try:
            if self._client.work_done_progress:
                info = await load_with_report(backend, self._peer)
            else:
                info = await backend.load()
        except BackendError as error:
            self._tell_error(f"fimble: {error}")
        else:
            message = f"fimble: {info.name} is ready ({info.device}, {info.dtype})"
            self._peer.notify("window/logMessage", {"type": _INFO, "message": message})

    def _tell_error(self, message: str) -> None:
        """Show the user an error, once: the same one at every key would be worse than the error."""
        if message not in self._errors_told:
            self._errors_told.add(message)
            self._peer.notify("window/showMessage", {"type": _ERROR, "message": message})

    def _the_backend(self) -> Backend:
        assert self._backend is not None, "only called once the client is initialized"
        return self._backend

    def _close_session(self, uri: str) -> None:
        session = self._sessions.pop(uri, None)
        if session is not None:
            session.cancel()

    async def _stop(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
        await self._peer.cancel_all()
