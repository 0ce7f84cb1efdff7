"""A document's completion life: from a cursor to the text that is shown there.

server ▶ **session** ▶ {document, trim, settings} ▶ model_runtime.api. A session runs one completion at a
time. Its stream is closed as soon as there is enough of it, a newer request takes its place, or the editor
cancels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from lsp_server.document import Document, Position, Range
from lsp_server.settings import Settings
from lsp_server.trim import Trim
from model_runtime.api import Backend, CompletionRequest, Usage

# Enough to fill the context of a model that runs on a laptop, and so little that a huge file costs nothing.
PREFIX_CHARACTERS: Final = 12_000
SUFFIX_CHARACTERS: Final = 4_000


@dataclass(frozen=True)
class Selection:
    """The item chosen in an editor's pop-up list: text that is about to take the place of a range."""

    text: str
    where: Range


@dataclass(frozen=True)
class Progress:
    """A completion so far; `usage` is None until the backend has told it."""

    text: str
    usage: Usage | None = None


def completion_request(
    document: Document, position: Position, settings: Settings, selection: Selection | None = None
) -> CompletionRequest:
    """What a model is asked about `position`, taking `selection` for accepted."""
    start, end = (selection.where.start, selection.where.end) if selection else (position, position)
    prefix = document.prefix(start, PREFIX_CHARACTERS) + (selection.text if selection else "")
    return CompletionRequest(
        prefix=_model_text(prefix),
        suffix=_model_text(document.suffix(end, SUFFIX_CHARACTERS)),
        language=document.language,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        session=document.uri,
    )


async def stream_completion(
    backend: Backend, request: CompletionRequest, trim: Trim | None
) -> AsyncGenerator[Progress, None]:
    """A completion as it grows, trimmed unless `trim` is None; what comes last is the whole of it.

    Raises:
        BackendError: the model cannot be used.
    """
    text, usage = "", None
    async with aclosing(backend.complete(request)) as chunks:
        async for chunk in chunks:
            usage = chunk.usage or usage
            shown = trim.feed(chunk.text) if trim else text + chunk.text
            if shown != text:
                text = shown
                yield Progress(text, usage)
            if trim and trim.done:
                break
    yield Progress(trim.finish() if trim else text, usage)


class Session:
    """The completions of one open document, of which the newest wins."""

    def __init__(self, document: Document, backend: Backend, settings: Settings) -> None:
        self.document = document
        self._backend = backend
        self._settings = settings
        self._running: asyncio.Task[str] | None = None

    async def complete(
        self,
        position: Position,
        selection: Selection | None = None,
        show: Callable[[str], None] | None = None,
    ) -> str | None:
        """The text that belongs at `position`, or None where a newer request has taken this one's place.

        `show` is called with the text so far each time it has grown. With a `selection`, the text is what
        follows it. While the model loads, the request waits, and its latency budget is not touched.

        Raises:
            BackendError: the model cannot be used.
        """
        request = completion_request(self.document, position, self._settings, selection)
        self.cancel()
        run = self._running = asyncio.get_running_loop().create_task(self._run(request, show))
        try:
            return await run
        except asyncio.CancelledError:
            if self._running is run:  # so it was not a newer request, but whoever waits for this one
                raise
            return None
        finally:
            if self._running is run:
                self._running = None

    def cancel(self) -> None:
        """End the completion that is running, if any; whoever waits for it gets None."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    async def _run(self, request: CompletionRequest, show: Callable[[str], None] | None) -> str:
        await self._backend.load()
        if self._settings.latency_budget_ms is not None:
            deadline = time.monotonic() + self._settings.latency_budget_ms / 1000
            request = replace(request, deadline=deadline)
        trim = Trim(request.prefix, request.suffix, multiline=self._settings.multiline)
        text = ""
        async with aclosing(stream_completion(self._backend, request, trim)) as stream:
            async for progress in stream:
                if show is not None and progress.text != text:
                    show(progress.text)
                text = progress.text
        return text


def _model_text(text: str) -> str:
    """`text` as models have seen text: lines end with ``\\n``, and no surrogate stands alone."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
