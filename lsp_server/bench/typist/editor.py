"""A minimal editor that runs ``fimble serve``: it sends documents and edits, and shows the answers.

It is an ordinary language client, so the measured latency is that of a real editor, including the context
from other open files, cached completions, trimming and partial results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lsp_server.bench.typist.replay import Watch
from lsp_server.bench.typist.session import Keystroke
from lsp_server.client import ChildServer, Connection, ServerGone
from lsp_server.document import Document, Edit, Position, Range
from model_runtime.api import BackendError, LoadProgress, Usage

MAX_NEIGHBOURS: Final = 4
"""Maximum number of other files that are open."""

_AUTOMATIC: Final = 2  # InlineCompletionTriggerKind
_CAPABILITIES: Final = {
    "general": {"positionEncodings": ["utf-32"]},
    "textDocument": {"inlineCompletion": {}},
    "experimental": {"fimbleStatus": True, "fimbleSource": True},
}
_SETTINGS: Final = {"metrics": False}  # a benchmark must not be counted in `fimble stats`

ShowItems = Callable[[Sequence[Any]], None]


class Editor:
    """A client of one server. `progress` is called while the server's model is loading."""

    def __init__(self, server: Connection, progress: LoadProgress = lambda share, message: None) -> None:
        self._server = server
        self._progress = progress
        self._gone = asyncio.get_running_loop().create_task(server.gone())
        self._idle = asyncio.Event()
        self._error: BackendError | None = None
        self._token = 0
        self._show: ShowItems = lambda items: None
        server.on_notification("fimble/status", self._on_status)
        server.on_notification("$/progress", self._on_progress)

    @classmethod
    async def start(
        cls, options: Sequence[str] = (), progress: LoadProgress = lambda share, message: None
    ) -> Editor:
        """Start ``fimble serve`` with `options`, and wait until its model is loaded.

        Raises:
            BackendError: the model can't be used.
            ServerGone: the server has ended.
        """
        editor = cls(await ChildServer.start(options), progress)
        try:
            await editor.initialize()
            await editor.wait_idle()
        except BaseException:
            await editor.stop()
            raise
        return editor

    async def initialize(self) -> None:
        """Initialize the server and send our settings."""
        await self._server.initialize(_CAPABILITIES)
        settings = {"settings": {"fimble": _SETTINGS}}
        self._server.notify("workspace/didChangeConfiguration", settings)

    async def stop(self) -> None:
        """End the server."""
        self._gone.cancel()
        await self._server.stop()

    async def wait_idle(self) -> None:
        """Wait until the server's status says that it is neither loading nor generating.

        Raises:
            BackendError: the model can't be used.
            ServerGone: the server has ended.
        """
        idle = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait([idle, self._gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
        if self._gone.done():
            raise ServerGone(self._gone.result())
        if self._error is not None:
            raise self._error

    def open(self, document: Document) -> None:
        """Open `document`."""
        item = {
            "uri": document.uri,
            "languageId": document.language,
            "version": document.version,
            "text": document.text,
        }
        self._server.notify("textDocument/didOpen", {"textDocument": item})

    def edit(self, document: Document, edit: Edit) -> None:
        """Apply `edit` to `document`, and send it."""
        assert edit.where is not None
        document.version += 1
        change = {
            "range": {"start": _encode(edit.where.start), "end": _encode(edit.where.end)},
            "text": edit.text,
        }
        identity = {"uri": document.uri, "version": document.version}
        self._server.notify("textDocument/didChange", {"textDocument": identity, "contentChanges": [change]})
        document.replace(edit.text, edit.where)

    def close(self, document: Document) -> None:
        """Close `document`."""
        self._server.notify("textDocument/didClose", {"textDocument": {"uri": document.uri}})

    async def complete(self, document: Document, position: Position, show: ShowItems) -> Any:
        """Request completions, superseding the previous request; `show` is called with partial results."""
        self._token += 1
        self._show = show
        return await self._server.ask(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": document.uri},
                "position": _encode(position),
                "context": {"triggerKind": _AUTOMATIC},
                "partialResultToken": self._token,
            },
        )

    def _on_progress(self, params: Any) -> None:
        if params["token"] == self._token:
            self._show(params["value"]["items"])

    def _on_status(self, params: Any) -> None:
        state = params["state"]
        if state == "loading":
            self._progress(params.get("share", 0.0), params.get("message", ""))
        elif state == "error":
            self._error = BackendError(params["message"])
        if state in ("loading", "generating"):
            self._idle.clear()
        else:
            self._idle.set()


class EditorAssistant:
    """An `Assistant` that requests a completion of `document` from `editor` after every key.

    Each request cancels the one before. Accepted items are not reported, as in editors that do not run an
    item's command; the server infers them from the edits.
    """

    def __init__(self, editor: Editor, watch: Watch, document: Document) -> None:
        self._editor = editor
        self._watch = watch
        self._document = document
        self._asking: asyncio.Task[None] | None = None

    def opened(self, text: str) -> None:
        """See `Assistant.opened`."""
        self._document.replace(text)
        self._editor.open(self._document)

    def pressed(self, key: Keystroke, text: str) -> None:
        """See `Assistant.pressed`."""
        document = self._document
        if key.edit is not None:
            where = Range(document.position_at(key.edit.start), document.position_at(key.edit.end))
            self._editor.edit(document, Edit(key.edit.text, where))
        superseded = self._asking
        self._asking = asyncio.get_running_loop().create_task(self._ask(document.position_at(key.cursor)))
        if superseded is not None:
            superseded.cancel()  # only now, so that the new request can continue its generation

    async def wait_idle(self) -> None:
        """See `Assistant.wait_idle`."""
        if self._asking is not None:
            await asyncio.shield(self._asking)
        await self._editor.wait_idle()

    async def close(self) -> None:
        """See `Assistant.close`."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        self._editor.close(self._document)

    async def _ask(self, position: Position) -> None:
        def show(items: Sequence[Any]) -> None:
            self._watch.show(*_visible_text(items, position.character))

        answer = await self._editor.complete(self._document, position, show)
        if answer is None:
            return  # the model can't be used, which `Editor.wait_idle` raises
        show(answer["items"])
        usage = answer.get("usage")
        if usage is not None:
            self._watch.computed(Usage(usage["promptTokens"], usage["reusedTokens"], usage["decodedTokens"]))
        self._watch.answered()


def neighbouring_files(file: Path) -> list[Path]:
    """The largest other files in the same folder with the same suffix, at most `MAX_NEIGHBOURS`."""
    with suppress(OSError):
        found = [path for path in file.resolve().parent.glob(f"*{file.suffix}") if path.is_file()]
        others = [path for path in found if path.name != file.name]
        return sorted(others, key=lambda path: (-path.stat().st_size, path.name))[:MAX_NEIGHBOURS]
    return []


def _visible_text(items: Sequence[Any], column: int) -> tuple[str, int]:
    """The first item's text after the cursor, and how many characters after the cursor it replaces."""
    if not items:
        return "", 0
    text, where = items[0]["insertText"], items[0]["range"]
    return text[column - where["start"]["character"] :], where["end"]["character"] - column


def _encode(position: Position) -> dict[str, int]:
    return {"line": position.line, "character": position.character}
