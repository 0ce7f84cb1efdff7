"""The terminal editor's LSP client: it has one document, and restarts its server on request.

A new server gets the document's current text, including edits made while no server was running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pygls.exceptions import JsonRpcException

from lsp_server.client import Connection, ServerGone
from lsp_server.document import Edit, Position
from lsp_server.protocol import ACCEPT, TOGGLE, lsp_range

_INVOKED, _AUTOMATIC = 1, 2  # InlineCompletionTriggerKind
_WARNING: Final = 2  # MessageType; less severe messages are not shown
_CAPABILITIES: Final[Mapping[str, object]] = {
    "general": {"positionEncodings": ["utf-16"]},
    "textDocument": {"inlineCompletion": {}},
    "experimental": {"fimbleStatus": True, "fimbleSource": True},
}

Item = Mapping[str, Any]
Connect = Callable[[], Awaitable[Connection]]


@dataclass(frozen=True)
class Answer:
    """Completion items: a partial result, or the `final` one, which has a `source`."""

    items: Sequence[Item]
    final: bool
    source: Literal["memory", "model"] | None = None


@dataclass(frozen=True)
class ServerState:
    """The server's state. `message` is its error or progress message, `share` the progress from 0 to 1."""

    state: Literal["starting", "loading", "ready", "generating", "error", "gone"] = "starting"
    model: str | None = None
    message: str = ""
    share: float = 0.0
    enabled: bool = True


@dataclass(frozen=True)
class OpenDocument:
    """The document as it is sent to the server."""

    uri: str
    language: str
    text: str


class Completer:
    """Synchronizes a document with a server, and requests completions for it.

    `connect` starts a server. Once it is initialized, `document` returns the document to open, and `on_open`
    is called. `on_change` is called when `state` has changed, and with messages from the server to the user.
    """

    def __init__(
        self,
        connect: Connect,
        document: Callable[[], OpenDocument],
        on_open: Callable[[], None],
        on_change: Callable[[str], None],
    ) -> None:
        self.state = ServerState()
        self._connect = connect
        self._document = document
        self._on_open = on_open
        self._on_change = on_change
        self._connection: Connection | None = None
        self._uri = ""
        self._version = 0
        self._request: asyncio.Task[None] | None = None
        self._request_number = 0
        self._on_answer: Callable[[Answer], None] | None = None
        self._command_tasks: set[asyncio.Task[None]] = set()
        self._restart_requested = asyncio.Event()

    async def run(self) -> None:
        """Run the server; restart it on request after it has ended. Runs until cancelled."""
        while True:
            self._restart_requested.clear()
            self._set_state(ServerState())
            try:
                message = await self._serve()
            except (ServerGone, JsonRpcException) as error:
                message = str(error)
            self._set_state(ServerState("gone", message=message))
            await self._restart_requested.wait()

    def restart(self) -> None:
        """Start a new server if the last one has ended."""
        if self.state.state == "gone":
            self._restart_requested.set()

    def edited(self, edit: Edit) -> None:
        """Send an edit that is about to be made, and cancel the current request."""
        self.cancel()
        assert edit.where is not None
        self._version += 1
        change = {"range": lsp_range(edit.where), "text": edit.text}
        self._notify(
            "textDocument/didChange",
            {"textDocument": {"uri": self._uri, "version": self._version}, "contentChanges": [change]},
        )

    def ask(self, position: Position, on_answer: Callable[[Answer], None], *, invoked: bool = False) -> None:
        """Request completions; `on_answer` gets partial results and the final one, unless cancelled."""
        superseded = self.cancel()
        if self._connection is None:
            return
        self._request_number += 1
        self._on_answer = on_answer
        params = {
            "textDocument": {"uri": self._uri},
            "position": {"line": position.line, "character": position.character},
            "context": {"triggerKind": _INVOKED if invoked else _AUTOMATIC},
            "partialResultToken": self._token,
        }
        request = self._send_request(self._connection, params, on_answer, superseded)
        self._request = asyncio.get_running_loop().create_task(request)

    def cancel(self) -> asyncio.Task[None] | None:
        """Cancel the current request and ignore its results; returns its task, which is ending."""
        request, self._request, self._on_answer = self._request, None, None
        if request is not None:
            request.cancel()
        return request

    def shown(self, item: Item) -> None:
        """Report that the item is shown."""
        self._notify("textDocument/didShowCompletion", {"item": item})

    def partly_accepted(self, item: Item, length: int) -> None:
        """Report that the first `length` UTF-16 code units of the item were accepted."""
        self._notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": length})

    def accepted(self, item: Item) -> None:
        """Report that the item was accepted."""
        self._execute(ACCEPT, *(item.get("command") or {}).get("arguments", []))

    def toggle(self) -> None:
        """Disable completions, or enable them again."""
        self._execute(TOGGLE)

    def saved(self) -> None:
        """Report that the document was saved."""
        self._notify("textDocument/didSave", {"textDocument": {"uri": self._uri}})

    def renamed(self) -> None:
        """Close the document and open it again, because it has another URI now."""
        self.cancel()
        self._notify("textDocument/didClose", {"textDocument": {"uri": self._uri}})
        self._open()

    @property
    def _token(self) -> str:
        return f"ghost {self._request_number}"

    async def _serve(self) -> str:
        """Start a server and wait until it has ended; returns its last message."""
        connection = await self._connect()
        try:
            connection.on_notification("fimble/status", self._on_status)
            connection.on_notification("window/showMessage", self._on_message)
            connection.on_notification("$/progress", self._on_progress)
            await connection.initialize(_CAPABILITIES)
            self._connection = connection
            self._open()
            self._on_open()
            return await connection.gone()
        finally:
            self._connection = None
            self.cancel()
            await connection.stop()

    def _open(self) -> None:
        document = self._document()
        self._uri = document.uri
        self._version += 1
        item = {
            "uri": document.uri,
            "languageId": document.language,
            "version": self._version,
            "text": document.text,
        }
        self._notify("textDocument/didOpen", {"textDocument": item})

    async def _send_request(
        self,
        connection: Connection,
        params: object,
        on_answer: Callable[[Answer], None],
        superseded: asyncio.Task[None] | None,
    ) -> None:
        if superseded is not None:
            await asyncio.wait([superseded])  # so that its cancellation is sent first
        try:
            result = await connection.ask("textDocument/inlineCompletion", params)
        except ServerGone:
            return  # `run` reports it
        except JsonRpcException as error:
            self._on_change(error.message)
            return
        if result is not None:  # None: a newer request supersedes this one; keep what is shown
            on_answer(Answer(result["items"], final=True, source=result.get("source")))

    def _on_progress(self, params: Any) -> None:
        if self._on_answer is not None and params["token"] == self._token:
            self._on_answer(Answer(params["value"]["items"], final=False))

    def _on_status(self, params: Any) -> None:
        names = ("state", "model", "message", "share", "enabled")
        facts = {name: params[name] for name in names if name in params}
        self._set_state(replace(ServerState(), **facts))

    def _on_message(self, params: Any) -> None:
        if params["type"] <= _WARNING:
            self._on_change(params["message"].removeprefix("fimble: "))

    def _set_state(self, state: ServerState) -> None:
        self.state = state
        self._on_change("")

    def _execute(self, command: str, *arguments: object) -> None:
        if self._connection is not None:
            task = asyncio.get_running_loop().create_task(
                self._send_command(self._connection, command, arguments)
            )
            self._command_tasks.add(task)
            task.add_done_callback(self._command_tasks.discard)

    async def _send_command(self, connection: Connection, command: str, arguments: Sequence[object]) -> None:
        try:
            await connection.ask(
                "workspace/executeCommand", {"command": command, "arguments": list(arguments)}
            )
        except ServerGone:
            return
        except JsonRpcException as error:
            self._on_change(error.message)

    def _notify(self, method: str, params: object) -> None:
        if self._connection is not None:
            self._connection.notify(method, params)
