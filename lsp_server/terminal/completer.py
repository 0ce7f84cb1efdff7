"""The text at a server: an LSP client with one document, whose server may end and be started again.

editor ▶ **completer** ▶ client ▶ ``fimble serve``. Whatever the user does while no server is there is in the
text that the next one is given.
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
_LOUD: Final = 2  # MessageType: what is an error or a warning
_CAPABILITIES: Final[Mapping[str, object]] = {
    "general": {"positionEncodings": ["utf-16"]},
    "textDocument": {"inlineCompletion": {}},
    "experimental": {"fimbleStatus": True, "fimbleSource": True},
}

Item = Mapping[str, Any]
Connect = Callable[[], Awaitable[Connection]]


@dataclass(frozen=True)
class Answer:
    """What was proposed: so far, or in the end, where it is `final` and has a `source`."""

    items: Sequence[Item]
    final: bool
    source: Literal["memory", "model"] | None = None


@dataclass(frozen=True)
class ServerState:
    """How the server is. `message` says what is wrong with it, or what it does; `share` of that is done."""

    state: Literal["starting", "loading", "ready", "generating", "error", "gone"] = "starting"
    model: str | None = None
    message: str = ""
    share: float = 0.0
    enabled: bool = True


@dataclass(frozen=True)
class Opened:
    """A document as a server is told of it."""

    uri: str
    language: str
    text: str


class Completer:
    """Keeps a server informed of a document, and asks it for completions of it.

    `connect` starts a server; `document` is what it is told when it is there, `opened` is called then. `told`
    is called when `state` has changed, with a message of the server's to its user where there is one.
    """

    def __init__(
        self,
        connect: Connect,
        document: Callable[[], Opened],
        opened: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        self.state = ServerState()
        self._connect = connect
        self._document = document
        self._opened = opened
        self._told = told
        self._connection: Connection | None = None
        self._uri = ""
        self._version = 0
        self._asking: asyncio.Task[None] | None = None
        self._asked = 0
        self._hear: Callable[[Answer], None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Have a server, and another one when that has ended and `restart` is called; until cancelled."""
        while True:
            self._wanted.clear()
            self._is(ServerState())
            try:
                message = await self._serve()
            except (ServerGone, JsonRpcException) as error:
                message = str(error)
            self._is(ServerState("gone", message=message))
            await self._wanted.wait()

    def restart(self) -> None:
        """Start a server where there is none any more."""
        if self.state.state == "gone":
            self._wanted.set()

    def edited(self, edit: Edit) -> None:
        """The text is about to be changed so; what was asked of it as it was is worth nothing any more."""
        self.cancel()
        assert edit.where is not None
        self._version += 1
        change = {"range": lsp_range(edit.where), "text": edit.text}
        self._notify(
            "textDocument/didChange",
            {"textDocument": {"uri": self._uri, "version": self._version}, "contentChanges": [change]},
        )

    def ask(self, position: Position, hear: Callable[[Answer], None], *, invoked: bool = False) -> None:
        """Ask what belongs at `position`; `hear` is told as it grows, and of all of it, if not cancelled."""
        overtaken = self.cancel()
        if self._connection is None:
            return
        self._asked += 1
        self._hear = hear
        params = {
            "textDocument": {"uri": self._uri},
            "position": {"line": position.line, "character": position.character},
            "context": {"triggerKind": _INVOKED if invoked else _AUTOMATIC},
            "partialResultToken": self._token,
        }
        asking = self._ask(self._connection, params, hear, overtaken)
        self._asking = asyncio.get_running_loop().create_task(asking)

    def cancel(self) -> asyncio.Task[None] | None:
        """Let go of what is asked, of which no more will be heard; the request that is now ending."""
        asking, self._asking, self._hear = self._asking, None, None
        if asking is not None:
            asking.cancel()
        return asking

    def shown(self, item: Item) -> None:
        """The item is on the screen."""
        self._notify("textDocument/didShowCompletion", {"item": item})

    def partly_accepted(self, item: Item, length: int) -> None:
        """So many UTF-16 code units of the item are in the text now."""
        self._notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": length})

    def accepted(self, item: Item) -> None:
        """The item is in the text now."""
        self._execute(ACCEPT, *(item.get("command") or {}).get("arguments", []))

    def toggle(self) -> None:
        """Switch completions off, or on again."""
        self._execute(TOGGLE)

    def saved(self) -> None:
        """The text is saved."""
        self._notify("textDocument/didSave", {"textDocument": {"uri": self._uri}})

    def renamed(self) -> None:
        """The document is another one now, with the same text."""
        self.cancel()
        self._notify("textDocument/didClose", {"textDocument": {"uri": self._uri}})
        self._open()

    @property
    def _token(self) -> str:
        return f"ghost {self._asked}"

    async def _serve(self) -> str:
        """Start a server and keep it as long as it lives; its last words."""
        connection = await self._connect()
        try:
            connection.on_notification("fimble/status", self._heard_status)
            connection.on_notification("window/showMessage", self._heard_message)
            connection.on_notification("$/progress", self._heard_progress)
            await connection.initialize(_CAPABILITIES)
            self._connection = connection
            self._open()
            self._opened()
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

    async def _ask(
        self,
        connection: Connection,
        params: object,
        hear: Callable[[Answer], None],
        overtaken: asyncio.Task[None] | None,
    ) -> None:
        if overtaken is not None:
            await asyncio.wait([overtaken])  # so that the server hears first that it is
        try:
            result = await connection.ask("textDocument/inlineCompletion", params)
        except ServerGone:
            return  # which is told otherwise
        except JsonRpcException as error:
            self._told(error.message)
            return
        if result is not None:  # what is shown stands otherwise
            hear(Answer(result["items"], final=True, source=result.get("source")))

    def _heard_progress(self, params: Any) -> None:
        if self._hear is not None and params["token"] == self._token:
            self._hear(Answer(params["value"]["items"], final=False))

    def _heard_status(self, params: Any) -> None:
        names = ("state", "model", "message", "share", "enabled")
        facts = {name: params[name] for name in names if name in params}
        self._is(replace(ServerState(), **facts))

    def _heard_message(self, params: Any) -> None:
        if params["type"] <= _LOUD:
            self._told(params["message"].removeprefix("fimble: "))

    def _is(self, state: ServerState) -> None:
        self.state = state
        self._told("")

    def _execute(self, command: str, *arguments: object) -> None:
        if self._connection is not None:
            task = asyncio.get_running_loop().create_task(
                self._executed(self._connection, command, arguments)
            )
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _executed(self, connection: Connection, command: str, arguments: Sequence[object]) -> None:
        try:
            await connection.ask(
                "workspace/executeCommand", {"command": command, "arguments": list(arguments)}
            )
        except ServerGone:
            return
        except JsonRpcException as error:
            self._told(error.message)

    def _notify(self, method: str, params: object) -> None:
        if self._connection is not None:
            self._connection.notify(method, params)
