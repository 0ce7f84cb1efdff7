"""Finds suggestions in the cache of a document, or has the model generate them.

One generation runs at a time. It belongs to no request: requests look at its suggestion and come and go, and
it runs on for as long as one of them may want what it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from lsp_server.completion.cursor_text import CursorText
from lsp_server.completion.debounce import Debounce
from lsp_server.completion.suggestions import CachedSuggestion, SuggestionCache
from lsp_server.context import Context
from lsp_server.document import Document, Position
from lsp_server.settings import Settings
from model_runtime.api import Backend, CompletionRequest, FinishReason, Usage

_GRACE: Final = 0.25  # seconds in which the next key may still want what was cancelled


@dataclass
class SessionServices:
    """What the sessions of one editor share; the workspace changes it as the user's settings change.

    `backend` is the one in use. With a `seed`, sampling gives the same text each time. `on_generating`
    is called with the name of a model that is writing, or None when it has ended, and `on_insert` with what a
    single edit has put into a document, and where that ends.
    """

    backend: Backend
    settings: Settings
    context: Context = field(default_factory=Context)
    debounce: Debounce = field(default_factory=Debounce)
    seed: int | None = None
    on_generating: Callable[[str | None], None] = lambda model: None
    on_insert: Callable[[Document, str, Position], None] = lambda document, text, end: None


class Deadline:
    """When a request is answered with what there is: at the end of its latency budget.

    The budget counts from when the model is loaded, which was at `started` on the event loop's clock.
    `passed` is called at the deadline; without a budget there is none.
    """

    def __init__(self, budget_ms: float | None, passed: Callable[[], None]) -> None:
        self.started: float | None = None
        self.is_past = False
        self._budget_ms = budget_ms
        self._passed = passed
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> float | None:
        """Count the budget from now on, unless it counts already; the deadline, if there is one."""
        loop = asyncio.get_running_loop()
        if self.started is None:
            self.started = loop.time()
            if self._budget_ms is not None:
                self._timer = loop.call_at(self.started + self._budget_ms / 1000, self.expire)
        return None if self._timer is None else self._timer.when()

    def expire(self) -> None:
        """The deadline is here, or the backend will write nothing more before it."""
        self.cancel()
        self.is_past = True
        self._passed()

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()


class Generation:
    """Reads what `backend` writes for `request` into `suggestion`, in a task of its own.

    The backend is given the `deadline` of the request that waits, if one does. What it could not write by
    then is requested again without a deadline; the prompt is in the KV cache by then. A sample is one of
    several candidates, which no later request continues.

    `model` is the model's name, or None before it is loaded; `over` says that nothing more will come, and
    `error` why, if it failed; `usage` is what both streams have cost so far. `on_change` is called whenever
    one of these or the suggestion has changed.
    """

    def __init__(
        self,
        suggestion: CachedSuggestion,
        backend: Backend,
        request: CompletionRequest,
        on_change: Callable[[Generation], None],
        *,
        deadline: Deadline | None = None,
        is_sample: bool = False,
    ) -> None:
        self.suggestion = suggestion
        self.is_sample = is_sample
        self.model: str | None = None
        self.over = False
        self.usage = Usage()
        self.error: BaseException | None = None
        self._backend = backend
        self._request = request
        self._on_change = on_change
        self._deadline = deadline
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._ended)

    def useful_at(self, cursor: CursorText) -> bool:
        """Whether a request at `cursor` may want what it writes."""
        return not self.is_sample and self.suggestion.agrees_with(cursor)

    def cancel(self) -> None:
        """Stop reading, which frees the model."""
        self._task.cancel()

    async def wait(self) -> None:
        """Wait until the model is free."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        self.model = (await self._backend.load()).name
        request = self._request
        if self._deadline is not None:
            request = replace(request, deadline=self._deadline.start())
        self._on_change(self)
        finish = await self._read(request)
        if finish == "deadline":
            if self._deadline is not None:
                self._deadline.expire()
            tokens = request.max_tokens - self.usage.decoded_tokens
            if tokens > 0:
                prefix = self.suggestion.end.prefix
                finish = await self._read(replace(request, prefix=prefix, max_tokens=tokens, deadline=None))
        self.suggestion.finish(cut=finish != "stop")

    async def _read(self, request: CompletionRequest) -> FinishReason | None:
        """Read one stream into the suggestion; how it ended, or None where there was enough."""
        before = self.usage
        async with aclosing(self._backend.complete(request)) as chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    self.usage = before + chunk.usage
                if chunk.text:
                    self.suggestion.feed(chunk.text)
                    self._on_change(self)
                if chunk.finish is not None:
                    return chunk.finish
                if self.suggestion.enough:
                    break
        return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.over = True
        self.error = None if task.cancelled() else task.exception()
        self._on_change(self)


class Suggester:
    """The suggestions for one document.

    `on_change` is called when the one that is being generated has changed, with the error if that has failed.
    """

    def __init__(
        self,
        document: Document,
        services: SessionServices,
        on_change: Callable[[BaseException | None], None],
    ) -> None:
        self._document = document
        self._services = services
        self._on_change = on_change
        self._cache = SuggestionCache()
        self._running: Generation | None = None
        self._cancelled: Generation | None = None
        self._unclaimed = False  # no request waits for the running generation
        self._usage = Usage()  # of the generations before the running one
        self._usage_taken = Usage()

    def has_suggestion(self, cursor: CursorText) -> bool:
        """Whether there is a suggestion for `cursor`, if only its beginning."""
        return self._cache.find(cursor) is not None

    def suggestion_at(self, cursor: CursorText, deadline: Deadline | None = None) -> CachedSuggestion:
        """The suggestion for `cursor`. Unless it is done, it is being generated from now on.

        The `deadline` is that of the request that waits for it, if one does.
        """
        suggestion = self._cache.find(cursor)
        if suggestion is None:
            suggestion = self._new_suggestion(cursor)
            self._cache.add(suggestion)
            self._start(suggestion, self._request(cursor), deadline)
        elif not self._is_being_generated(suggestion):
            if not suggestion.done:
                self._start(suggestion, self._request(suggestion.end), deadline)
            elif self._running is not None and not self._running.useful_at(cursor):
                self.cancel()
        elif deadline is not None and self._running is not None and self._running.model is not None:
            deadline.start()
        return suggestion

    def sample(
        self, cursor: CursorText, seed: int, temperature: float, deadline: Deadline
    ) -> CachedSuggestion:
        """Another suggestion for `cursor`, sampled with `seed`; no later request continues it."""
        suggestion = self._new_suggestion(cursor)
        request = self._request(cursor)
        temperature = request.temperature or temperature
        request = replace(request, seed=seed, temperature=temperature)
        self._start(suggestion, request, deadline, is_sample=True)
        return suggestion

    def keep_sample(self, sample: CachedSuggestion) -> None:
        """Add a sample to the cache: the user may choose it."""
        self._cache.add(sample, newest=False)

    def is_finished(self, suggestion: CachedSuggestion) -> bool:
        """Whether nothing will be added to `suggestion` unless it is requested again."""
        running = self._running
        return suggestion.done or running is None or running.suggestion is not suggestion

    def take_usage(self) -> Usage | None:
        """What was computed for the document since the last call; None where the backend does not count.

        That includes what nobody has seen: requests that were overtaken, and text generated ahead of them.
        """
        total = self._usage if self._running is None else self._usage + self._running.usage
        usage, self._usage_taken = total - self._usage_taken, total
        return None if usage == Usage() else usage

    def cancel_unless_reclaimed(self) -> None:
        """Cancel after a grace period: editors cancel at every key, and the next key may want the same."""
        running = self._running
        self._unclaimed = True

        def cancel() -> None:
            if self._unclaimed and self._running is running:
                self.cancel()

        asyncio.get_running_loop().call_later(_GRACE, cancel)

    def cancel(self) -> None:
        """Cancel what is being generated; what there is of it stays in the cache."""
        running, self._running = self._running, None
        if running is None:
            return
        self._usage += running.usage
        if not running.over:
            running.cancel()
            self._cancelled = running
            self._services.on_generating(None)
            if not running.suggestion.generated:
                self._cache.remove(running.suggestion)

    def clear(self) -> None:
        """Cancel what is being generated, and clear the cache."""
        self.cancel()
        self._cache.clear()

    async def wait_cancelled(self) -> None:
        """Wait, after a cancel, until the model is free."""
        if self._cancelled is not None:
            await self._cancelled.wait()

    def _new_suggestion(self, cursor: CursorText) -> CachedSuggestion:
        multiline = self._services.settings.multiline
        return CachedSuggestion(cursor, language=self._document.language, multiline=multiline)

    def _request(self, cursor: CursorText) -> CompletionRequest:
        services = self._services
        return replace(cursor.request(self._document, services.settings), seed=services.seed)

    def _is_being_generated(self, suggestion: CachedSuggestion) -> bool:
        """Whether the running generation writes `suggestion`, or can continue it where it is."""
        running = self._running
        if running is None or running.over or running.is_sample:
            return False
        if running.suggestion.end == suggestion.end:
            running.suggestion = suggestion
        self._unclaimed = False
        return running.suggestion is suggestion

    def _start(
        self,
        suggestion: CachedSuggestion,
        request: CompletionRequest,
        deadline: Deadline | None,
        *,
        is_sample: bool = False,
    ) -> None:
        self.cancel()
        self._unclaimed = False
        self._running = Generation(
            suggestion,
            self._services.backend,
            request,
            self._generation_changed,
            deadline=deadline,
            is_sample=is_sample,
        )

    def _generation_changed(self, generation: Generation) -> None:
        if generation is not self._running:
            return  # it was cancelled
        self._services.on_generating(None if generation.over else generation.model)
        if generation.error is not None:
            self._cache.remove(generation.suggestion)
        self._on_change(generation.error)
