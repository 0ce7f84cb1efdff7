"""A completion under way: a backend's streams read into an offer.

session ▶ **generation** ▶ {offers, trim} ▶ model_runtime.api. A generation belongs to no request: requests
look at its offer and come and go, and it reads on until there is enough of it or the session closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from lsp_server.completion.cursor_text import Place
from lsp_server.completion.pending_request import Deadline
from lsp_server.completion.suggestions import Offer
from model_runtime.api import Backend, CompletionRequest, FinishReason, Usage


class Generation:
    """Reads what `backend` writes for `request` into `offer`, in a task of its own.

    The backend is given the `deadline` of whoever waits, if anybody does. What it could not write by then it
    is asked for in a second request, without one, whose prompt is in the cache already. A `sample` is one of
    several candidates, which no later request goes on with.

    `model` is the model's name, or None before it is loaded; `over` says that nothing more will come, and
    `error` why, where something went wrong; `usage` is what both streams have cost so far, or None where the
    backend cannot count. The `listener` is called whenever one of these or the offer has changed.
    """

    def __init__(
        self,
        offer: Offer,
        backend: Backend,
        request: CompletionRequest,
        listener: Callable[[Generation], None],
        *,
        deadline: Deadline | None = None,
        sample: bool = False,
    ) -> None:
        self.offer = offer
        self.sample = sample
        self.model: str | None = None
        self.over = False
        self.usage: Usage | None = None
        self.error: BaseException | None = None
        self._backend = backend
        self._request = request
        self._listener = listener
        self._deadline = deadline
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._end)

    def wanted_at(self, place: Place) -> bool:
        """Whether what it writes may be asked for by someone at `place`."""
        return not self.sample and self.offer.agrees(place)

    def close(self) -> None:
        """Stop reading, which frees the model."""
        self._task.cancel()

    async def ended(self) -> None:
        """Wait until the model is free."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        self.model = (await self._backend.load()).name
        request = self._request
        if self._deadline is not None:
            request = replace(request, deadline=self._deadline.start())
        self._listener(self)
        finish = await self._read(request)
        if finish == "deadline":
            if self._deadline is not None:
                self._deadline.expire()
            left = request.max_tokens - (self.usage.decoded_tokens if self.usage else 0)
            if left > 0:
                request = replace(request, prefix=self.offer.written.prefix, max_tokens=left, deadline=None)
                finish = await self._read(request)
        self.offer.end(cut=finish != "stop")

    async def _read(self, request: CompletionRequest) -> FinishReason | None:
        """Read one stream into the offer; how it ended, or None where there was enough."""
        before = self.usage
        async with aclosing(self._backend.complete(request)) as chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    self.usage = chunk.usage if before is None else before + chunk.usage
                if chunk.text:
                    self.offer.feed(chunk.text)
                    self._listener(self)
                if chunk.finish is not None:
                    return chunk.finish
                if self.offer.enough:
                    break
        return None

    def _end(self, task: asyncio.Task[None]) -> None:
        self.over = True
        self.error = None if task.cancelled() else task.exception()
        self._listener(self)
