"""The local runtime as a `Backend`: one thread owns the model; requests queue for it and streams come back.

    complete() ──work──▶ worker thread ▶ Engine.complete(): a step, a step, …
        ▲                                     │ loop.call_soon_threadsafe
        └────────── asyncio.Queue ◀───────────┘

Torch is imported by the worker when it loads, and never by the caller. Neither side waits for the other:
a stream that nobody reads costs the worker nothing, and closing one raises a flag that the worker sees
between two steps.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from model_runtime.api import (
    BackendClosed,
    BackendError,
    Chunk,
    CompletionRequest,
    LoadProgress,
    ModelInfo,
    ModelOptions,
    Usage,
)

if TYPE_CHECKING:
    from model_runtime.engine import Engine

OpenEngine = Callable[[ModelOptions, LoadProgress], "Engine"]
Work = SimpleQueue[Callable[[], None] | None]

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
        self._work: Work = SimpleQueue()
        self._lock = threading.Lock()  # guards what follows
        self._worker: threading.Thread | None = None
        self._load: _Load | None = None
        self._streams: set[_Stream] = set()
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
        """See `api.Backend.complete`. Requests are answered in the order in which they came."""
        stream = _Stream(request)
        with self._lock:
            self._work.put(partial(_serve, self._current_load(), stream))
            self._streams.add(stream)
        try:
            while True:
                chunk = await stream.next()
                yield chunk
                if chunk.finish is not None:
                    return
        finally:
            stream.cancel()
            with self._lock:
                self._streams.discard(stream)

    async def close(self) -> None:
        """See `api.Backend.close`. Returns when the worker has ended."""
        with self._lock:
            self._closed = True
            self._work.put(None)
            streams, worker = list(self._streams), self._worker
        for stream in streams:
            stream.fail(BackendClosed("the model was closed before the completion ended"))
        if worker is not None:
            await asyncio.to_thread(worker.join)
        self._load = None

    def _current_load(self) -> _Load:
        """The load that is under way or done; where there is none, or it failed, a new one begins.

        Everything that needs it is queued behind it.
        """
        if self._closed:
            raise BackendClosed("the model was closed: open it again")
        if self._worker is None:
            self._worker = threading.Thread(target=_run, args=(self._work,), name="model", daemon=True)
            self._worker.start()
        if self._load is None or self._load.failed:
            self._load = _Load()
            self._work.put(partial(self._open, self._load))
        return self._load

    def _open(self, load: _Load) -> None:
        def report(share: float, what: str) -> None:
            if self._closed:
                raise BackendClosed("the model was closed before it was loaded")
            load.report(share, what)

        try:
            load.engine.set_result(self._open_engine(self._options, report))
        except BaseException as error:  # a panic of a native library is no Exception, and all wait for this
            load.engine.set_exception(_as_backend_error(error))


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
        self.request = request
        self.usage = Usage(prompt_tokens=0, reused_tokens=0, decoded_tokens=0)
        self._cancelled = threading.Event()
        self._items: asyncio.Queue[Chunk | BackendError] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        if request.deadline is not None:
            self._alarm = self._loop.call_later(request.deadline - time.monotonic(), self._expire)

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    async def next(self) -> Chunk:
        item = await self._items.get()
        if isinstance(item, BackendError):
            raise item
        return item

    def cancel(self) -> None:
        """Nobody reads on. Called in the stream's event loop."""
        self._cancelled.set()
        if self._alarm is not None:
            self._alarm.cancel()

    def fail(self, error: BackendError) -> None:
        """End the stream from any thread."""
        self._cancelled.set()
        self.deliver(error)

    def deliver(self, item: Chunk | BackendError) -> None:
        """Hand over the next item, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the event loop is closed, and whoever read with it
            self._cancelled.set()

    def _expire(self) -> None:
        # On this side, so that even a long step, or a long load, holds nobody up.
        self._cancelled.set()
        self._items.put_nowait(Chunk("", "deadline", self.usage))


def _run(work: Work) -> None:
    """The worker: one piece of work after another until None comes."""
    for piece in iter(work.get, None):
        piece()


def _serve(load: _Load, stream: _Stream) -> None:
    if stream.cancelled:
        return
    try:
        with closing(load.engine.result().complete(stream.request)) as chunks:
            for chunk in chunks:
                if stream.cancelled:
                    return
                stream.usage = chunk.usage or stream.usage
                if chunk.finish is not None or chunk.text:
                    stream.deliver(chunk)
    except BaseException as error:
        stream.deliver(_as_backend_error(error))


def _as_backend_error(error: BaseException) -> BackendError:
    """A mistake of ours becomes the failure of one request; the worker lives on."""
    if isinstance(error, BackendError):
        return error
    failure = BackendError(f"the model failed: {type(error).__name__}: {error}; --debug shows where")
    failure.__cause__ = error
    return failure


def _open_engine(options: ModelOptions, progress: LoadProgress) -> Engine:
    from model_runtime.checkpoints import default_models_folder, resolve

    resolve(options.model, default_models_folder())  # what is not there is said before torch takes its time
    progress(0.0, "starting torch")
    from model_runtime.engine import Engine  # imports torch

    return Engine(options, progress)
