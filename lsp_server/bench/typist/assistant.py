"""A model behind our seam as an `Assistant`: a request for every key, trimmed as an editor would show it.

replay ▶ **assistant** ▶ {generation, places, document, trim} ▶ model_runtime.api
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from lsp_server.bench.typist.replay import Watch
from lsp_server.bench.typist.session import Keystroke
from lsp_server.completion import completion_request, place_at, stream_completion
from lsp_server.document import Document, Range
from lsp_server.settings import Settings
from lsp_server.trimming import Trim
from model_runtime.api import Backend, CompletionRequest, Usage


class BackendAssistant:
    """Asks `backend` at every key and closes what the next key overtakes.

    A request that fails ends the replay: `settled` raises what it raised. `costs` has what each request took,
    as far as it was told: those that were overtaken too.
    """

    def __init__(
        self, backend: Backend, watch: Watch, settings: Settings, *, language: str = "", uri: str = ""
    ) -> None:
        self._backend = backend
        self._watch = watch
        self._settings = settings
        self._language, self._uri = language, uri
        self._document = Document("")
        self._running: asyncio.Task[None] | None = None
        self.costs: list[Usage] = []

    def opened(self, text: str) -> None:
        """See `Assistant.opened`."""
        self._document = Document(text, uri=self._uri, language=self._language, encoding="utf-32")

    def pressed(self, key: Keystroke, text: str) -> None:
        """See `Assistant.pressed`."""
        document = self._document
        if key.edit is not None:
            where = Range(document.position_at(key.edit.start), document.position_at(key.edit.end))
            document.replace(key.edit.text, where)
        if self._running is not None:
            self._running.cancel()
        place = place_at(document, document.position_at(key.cursor))
        request = completion_request(place, document, self._settings)
        self._running = asyncio.get_running_loop().create_task(self._answer(request))

    async def settled(self) -> None:
        """See `Assistant.settled`."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def close(self) -> None:
        """See `Assistant.close`."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _answer(self, request: CompletionRequest) -> None:
        trim = Trim(request.prefix, request.suffix, multiline=self._settings.multiline)
        usage = None
        try:
            async with aclosing(stream_completion(self._backend, request, trim)) as stream:
                async for progress in stream:
                    usage = progress.usage
                    self._watch.show(progress.text, trim.covers)
        finally:
            if usage is not None:
                self.costs.append(usage)
        self._watch.answered(usage)
