"""The local runtime as a `Backend`: a worker thread owns the model and streams completions to event loops.

    complete() ──job──▶ scheduler ──▶ worker thread: Engine.complete(), step by step
        ▲                                 │ loop.call_soon_threadsafe
        └───────── asyncio.Queue ◀────────┘

Only the worker imports torch, for a model that needs it. Neither side waits for the other: closing a stream
ends its job, which the worker notices between two steps.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from model_runtime.api import (
    BackendClosed,
    BackendError,
    Chunk,
    CompletionRequest,
    LoadProgress,
    ModelInfo,
    ModelOptions,
)
from model_runtime.backend.openmp import limit_openmp_spinning
from model_runtime.backend.scheduling import Item, Job, Scheduler, as_backend_error

if TYPE_CHECKING:
    from model_runtime.engine import Engine

OpenEngine = Callable[[ModelOptions, LoadProgress], "Engine"]

DEADLINE_MARGIN_SECONDS = 0.003
"""A stream that the engine did not end is ended this long before its deadline, to be delivered in time."""

logger = logging.getLogger(__name__)


class LocalBackend:
    """Runs a model in this process. Implements `api.Backend`.

    Any number of event loops may use it, also at the same time, each for its own streams.

    Args:
        options: the model, its device and precision.
        open_engine: opens the model, in the worker.
    """

    def __init__(self, options: ModelOptions, open_engine: OpenEngine | None = None) -> None:
        self._options = options
        self._open_engine = open_engine or _open_engine
        self._scheduler = Scheduler()
        self._lock = threading.Lock()  # guards what follows
        self._changed = threading.Condition(self._lock)  # a load is requested, or the backend is closed
        self._worker: threading.Thread | None = None
        self._load: _Load | None = None
        self._closed = False

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        """See `api.Backend.load`. After a failed load the next call tries again."""
        with self._lock:
            load = self._current_load()
        if progress is not None:
            load.listeners.append(progress)
        engine = await asyncio.shield(asyncio.wrap_future(load.engine))
        if progress is not None:
            progress(1.0, "ready")
        return engine.info

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """See `api.Backend.complete`. Sessions take turns; a session's requests are answered in order."""
        stream = _Stream(request)
        try:
            with self._lock:
                self._current_load()
                self._scheduler.submit(stream.job)
            while True:
                chunk = await stream.next()
                yield chunk
                if chunk.finish is not None:
                    return
        finally:
            stream.close()

    async def close(self) -> None:
        """See `api.Backend.close`. Returns when the worker has ended."""
        with self._lock:
            self._closed = True
            self._scheduler.close()
            self._changed.notify()
            worker = self._worker
        if worker is not None:
            await asyncio.to_thread(worker.join)
        self._load = None

    def _current_load(self) -> _Load:
        """The load in progress or done; starts a new one if there is none, or it failed."""
        if self._closed:
            raise BackendClosed("the model was closed: open it again")
        if self._load is None or self._load.failed:
            self._load = _Load()
            self._changed.notify()
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="model", daemon=True)
            self._worker.start()
        return self._load

    def _work(self) -> None:
        """Run the worker: try to load the model at each request until that succeeds, then serve."""
        engine = None
        while engine is None:
            with self._lock:
                self._changed.wait_for(lambda: self._closed or self._pending_load is not None)
                load = self._pending_load
            if load is None:
                return
            engine = self._open(load)
        _serve(engine, self._scheduler)

    @property
    def _pending_load(self) -> _Load | None:
        return None if self._load is None or self._load.engine.done() else self._load

    def _open(self, load: _Load) -> Engine | None:
        def check_open() -> None:
            if self._closed:
                raise BackendClosed("the model was closed before it was loaded")

        def report(share: float, what: str) -> None:
            check_open()
            load.report(share, what)

        try:
            check_open()
            engine = self._open_engine(self._options, report)
        except BaseException as error:  # panics of native libraries are not Exceptions
            failure = as_backend_error(error)
            with self._lock:  # later requests start another load
                load.engine.set_exception(failure)
                self._scheduler.fail_all(failure)
            return None
        load.engine.set_result(engine)
        return engine


class _Load:
    """One attempt to load the model, shared by all requests that wait for it."""

    def __init__(self) -> None:
        self.listeners: list[LoadProgress] = []
        self.engine: Future[Engine] = Future()
        self.engine.set_running_or_notify_cancel()  # so that a caller who gives up cannot cancel it

    @property
    def failed(self) -> bool:
        return self.engine.done() and self.engine.exception() is not None

    def report(self, share: float, what: str) -> None:
        for listener in tuple(self.listeners):
            self._tell(listener, share, what)

    def _tell(self, listener: LoadProgress, share: float, what: str) -> None:
        try:
            listener(share, what)
        except Exception:  # one failing progress bar must not fail the load for all
            logger.exception("a progress listener failed and is dropped")
            self.listeners.remove(listener)


class _Stream:
    """Passes one completion from the worker to the event loop that asked for it."""

    def __init__(self, request: CompletionRequest) -> None:
        self.job = Job(request, self._deliver)
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        if request.deadline is not None:
            # Enforced here as well as in the engine: a step, or a load, may take longer than the deadline.
            left = request.deadline - DEADLINE_MARGIN_SECONDS - time.monotonic()
            self._timer = self._loop.call_later(left, self.job.finish, "deadline")

    async def next(self) -> Chunk:
        item = await self._items.get()
        if isinstance(item, BackendError):
            raise item
        return item

    def close(self) -> None:
        """Stop reading. Called in the stream's event loop."""
        self.job.close()
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self, item: Item) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the event loop is closed
            return False
        return True


def _serve(engine: Engine, scheduler: Scheduler) -> None:
    """Run steps until the scheduler is closed; when there are none, let the engine work in the background."""
    while True:
        while scheduler.step(engine):
            pass
        if (scheduler.closed or not _work_in_background(engine)) and not scheduler.wait():
            return


def _work_in_background(engine: Engine) -> bool:
    try:
        return engine.work_in_background()
    except BaseException:  # no request is affected; the next one meets the error itself
        logger.exception("background work failed")
        return False


def _open_engine(options: ModelOptions, progress: LoadProgress) -> Engine:
    from model_runtime.models import resolve

    resolve(options.model)  # report a missing model before slow imports
    limit_openmp_spinning(os.environ)
    from model_runtime.engine import Engine, needs_torch

    progress(0.0, "starting torch" if needs_torch(options) else "reading weights")
    return Engine(options, progress)
