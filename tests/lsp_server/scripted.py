"""A backend that writes what a test tells it to, when it tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from model_runtime.api import (
    BackendError,
    Chunk,
    CompletionRequest,
    FinishReason,
    LoadProgress,
    ModelInfo,
    Usage,
)
from tests.lsp_server.fakes import INFO
from tests.lsp_server.virtual_time import settle


class Stream:
    """One completion that was asked for. Everything told here has had its effect when the call returns."""

    def __init__(self, request: CompletionRequest) -> None:
        self.request = request
        self.closed = False
        self.texts: list[str] = []
        self.items: asyncio.Queue[Chunk | BackendError] = asyncio.Queue()

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=5, reused_tokens=3, decoded_tokens=len(self.texts))

    async def write(self, *pieces: str) -> None:
        for piece in pieces:
            self.texts.append(piece)
            self.items.put_nowait(Chunk(piece, usage=self.usage))
            await settle()

    async def finish(self, reason: FinishReason = "stop") -> None:
        self.items.put_nowait(Chunk("", reason, self.usage))
        await settle()

    async def fail(self, error: BackendError) -> None:
        self.items.put_nowait(error)
        await settle()


class ScriptedBackend:
    """Keeps the streams that were asked for. Like the runtime it ends one at its deadline."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.may_load = asyncio.Event()
        self.may_load.set()

    @property
    def last(self) -> Stream:
        return self.streams[-1]

    @property
    def running(self) -> list[Stream]:
        return [stream for stream in self.streams if not stream.closed]

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        await self.may_load.wait()
        return INFO

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        stream = Stream(request)
        self.streams.append(stream)
        try:
            while True:
                chunk = await self._next(stream)
                yield chunk
                if chunk.finish is not None:
                    return
        finally:
            stream.closed = True

    async def close(self) -> None:
        pass

    async def _next(self, stream: Stream) -> Chunk:
        timeout = None
        if stream.request.deadline is not None:
            timeout = stream.request.deadline - asyncio.get_running_loop().time()
        try:
            item = await asyncio.wait_for(stream.items.get(), timeout)
        except asyncio.TimeoutError:
            return Chunk("", "deadline", stream.usage)
        if isinstance(item, BackendError):
            raise item
        return item
