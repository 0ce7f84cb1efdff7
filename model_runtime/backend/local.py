"""The local runtime as a `Backend`: one thread owns the model; requests queue for it and streams come back.

    complete() ──job──▶ scheduler ▶ worker thread ▶ Engine.complete(): a step, a step, …
        ▲                                               │ loop.call_soon_threadsafe
        └──────────────── asyncio.Queue ◀───────────────┘

Torch is imported by the worker when it loads, and never by the caller. Neither side waits for the other:
a stream that nobody reads costs the worker nothing, and closing one ends its job, which the worker sees
between two steps. When nobody is left to be answered, the engine works ahead.
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
from model_runtime.backend.openmp import sleep_when_waiting
from model_runtime.backend.scheduling import Item, Job, Scheduler, as_backend_error

if TYPE_CHECKING:
    from model_runtime.engine import Engine

OpenEngine = Callable[[ModelOptions, LoadProgress], "Engine"]

ALARM_SECONDS = 0.003
"""So long before its deadline a stream ends that the engine did not end: it is there by then."""

logger = logging.getLogger(__name__)


class LocalBackend:
    """Runs a model in this process. Implements `api.Backend`.

    Any number of event loops may use it, one after another or at once, each for its own streams.

    Args:
        options: which model, where, in which precision.
        open_engine: how the worker opens the model.
    """

    def __init__(self, options: ModelOptions, open_engine: OpenEngine | None = None) -> None:
        self._options = options
        self._open_engine = open_engine or _open_engine
        self._scheduler = Scheduler()
        self._lock = threading.Lock()  # guards what follows
        self._wanted = threading.Condition(self._lock)  # a load is, or the end
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
        """See `api.Backend.complete`. Sessions take turns; the requests of one are answered one by one."""
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
            self._wanted.notify()
            worker = self._worker
        if worker is not None:
            await asyncio.to_thread(worker.join)
        self._load = None

    def _current_load(self) -> _Load:
        """The load that is under way or done; where there is none, or it failed, a new one begins."""
        if self._closed:
            raise BackendClosed("the model was closed: open it again")
        if self._load is None or self._load.failed:
            self._load = _Load()
            self._wanted.notify()
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="model", daemon=True)
            self._worker.start()
        return self._load

    def _work(self) -> None:
        """The worker's life: load the model, until that succeeds, and then serve."""
        engine = None
        while engine is None:
            with self._lock:
                self._wanted.wait_for(lambda: self._closed or self._load_to_come is not None)
                load = self._load_to_come
            if load is None:
                return
            engine = self._open(load)
        _serve(engine, self._scheduler)

    @property
    def _load_to_come(self) -> _Load | None:
        return None if self._load is None or self._load.engine.done() else self._load

    def _open(self, load: _Load) -> Engine | None:
        def go_on() -> None:
            if self._closed:
                raise BackendClosed("the model was closed before it was loaded")

        def report(share: float, what: str) -> None:
            go_on()
            load.report(share, what)

        try:
            go_on()
            engine = self._open_engine(self._options, report)
        except BaseException as error:  # a panic of a native library is no Exception, and all wait for this
            failure = as_backend_error(error)
            with self._lock:  # whoever comes after this begins another load
                load.engine.set_exception(failure)
                self._scheduler.fail_all(failure)
            return None
        load.engine.set_result(engine)
        return engine


class _Load:
    """One attempt to open the model, shared by everyone who needs it."""

    def __init__(self) -> None:
        self.listeners: list[LoadProgress] = []
        self.engine: Future[Engine] = Future()
        self.engine.set_running_or_notify_cancel()  # one who waits and gives up cannot cancel it for all

    @property
    def failed(self) -> bool:
        return self.engine.done() and self.engine.exception() is not None

    def report(self, share: float, what: str) -> None:
        for listener in tuple(self.listeners):
            self._tell(listener, share, what)

    def _tell(self, listener: LoadProgress, share: float, what: str) -> None:
        try:
            listener(share, what)
        except Exception:  # somebody's progress bar is gone, but the load is everybody's
            logger.exception("a progress listener failed and is dropped")
            self.listeners.remove(listener)


class _Stream:
    """One completion on its way from the worker to the event loop that it was made in."""

    def __init__(self, request: CompletionRequest) -> None:
        self.job = Job(request, self._deliver)
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        if request.deadline is not None:
            # On this side too, so that even a long step, or a long load, holds nobody up.
            left = request.deadline - ALARM_SECONDS - time.monotonic()
            self._alarm = self._loop.call_later(left, self.job.finish, "deadline")

    async def next(self) -> Chunk:
        item = await self._items.get()
        if isinstance(item, BackendError):
            raise item
        return item

    def close(self) -> None:
        """Nobody reads on. Called in the stream's event loop."""
        self.job.close()
        if self._alarm is not None:
            self._alarm.cancel()

    def _deliver(self, item: Item) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the event loop is closed, and whoever read with it
            return False
        return True


def _serve(engine: Engine, scheduler: Scheduler) -> None:
    """Make step after step until the scheduler is closed; work ahead, piece by piece, where there is none."""
    while True:
        while scheduler.step(engine):
            pass
        if (scheduler.closed or not _work_ahead(engine)) and not scheduler.wait():
            return


def _work_ahead(engine: Engine) -> bool:
    try:
        return engine.work_ahead()
    except BaseException:  # it was nobody's, and the next request finds out by itself
        logger.exception("working ahead failed")
        return False


def _open_engine(options: ModelOptions, progress: LoadProgress) -> Engine:
    from model_runtime.models import default_models_folder, resolve

    resolve(options.model, default_models_folder())  # what is not there is said before torch takes its time
    progress(0.0, "starting torch")
    sleep_when_waiting(os.environ)
    from model_runtime.engine import Engine  # imports torch

    return Engine(options, progress)
