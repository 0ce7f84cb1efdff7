"""Schedules completions: a session's requests in order, sessions round-robin, one step at a time.

Any thread may submit and end jobs; the worker thread of `backend.local` runs the steps. A job ends exactly
once, and nothing is delivered after that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from typing import Protocol

from model_runtime.api import (
    BackendClosed,
    BackendError,
    Busy,
    Chunk,
    CompletionRequest,
    FinishReason,
    Usage,
)

MAX_WAITING = 32
"""Maximum number of requests that wait for a slot."""

Item = Chunk | BackendError

logger = logging.getLogger(__name__)


class CompletionEngine(Protocol):
    """The part of `Engine` that the scheduler uses."""

    @property
    def parallel(self) -> int:
        """How many completions can run at the same time."""
        ...

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        """Yield chunks, the last one with a finish reason; closing the generator cancels."""
        ...


class Job:
    """One requested completion.

    Args:
        request: the request.
        deliver: receives chunks, and at the end one with a finish reason or an error; from any thread. It
            returns False if the receiver is gone.
    """

    def __init__(self, request: CompletionRequest, deliver: Callable[[Item], bool]) -> None:
        self.request = request
        self._deliver = deliver
        self._usage = Usage(prompt_tokens=0, reused_tokens=0, decoded_tokens=0)
        self._open = True
        self._lock = threading.Lock()  # so that nothing is delivered after the end

    @property
    def open(self) -> bool:
        """Whether the job has not ended."""
        return self._open

    def send(self, chunk: Chunk) -> None:
        """Deliver a chunk if it has text or a finish reason; the latter ends the job."""
        with self._lock:
            if not self._open:
                return
            self._usage = chunk.usage or self._usage
            if chunk.text or chunk.finish:
                self._open = self._deliver(chunk) and chunk.finish is None

    def finish(self, reason: FinishReason) -> None:
        """End the job with what was delivered so far, from any thread."""
        self.send(Chunk("", reason, self._usage))

    def fail(self, error: BackendError) -> None:
        """End the job with an error, from any thread."""
        with self._lock:
            if self._open:
                self._open = False
                self._deliver(error)

    def close(self) -> None:
        """End the job without delivering anything more."""
        with self._lock:
            self._open = False


class Scheduler:
    """The waiting and the running jobs. Jobs without a session run one after another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards what follows
        self._waiting: list[Job] = []  # in order of admission
        self._running: dict[str, _Run] = {}  # by session, the next to run first
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def submit(self, job: Job) -> None:
        """Add a job; it waits until the older open jobs of its session have ended.

        Raises:
            BackendClosed: the scheduler is closed.
            Busy: too many jobs are waiting.
        """
        with self._changed:
            if self._closed:
                raise BackendClosed("the model was closed: open it again")
            replaced = self._closed_job_of(job.request.session)
            if replaced is not None:
                self._waiting[replaced] = job  # the session keeps its place in the queue
            else:
                self._make_room()
                self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """End all jobs and accept no more."""
        with self._changed:
            self._closed = True
            self._end_all(BackendClosed("the model was closed before the completion ended"))
            self._changed.notify()

    def fail_all(self, error: BackendError) -> None:
        """End all jobs with an error."""
        with self._changed:
            self._end_all(error)

    def wait(self) -> bool:
        """Wait until `step` has work; False once the scheduler is closed and idle."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._running)
            return bool(self._running) or not self._closed

    def step(self, engine: CompletionEngine) -> bool:
        """Run one step of the next job in turn; False if there is none. Called by the worker only.

        Jobs that have ended since the last step give up their slots first.
        """
        for ended in self._ended():
            ended.close()
        run = self._next(engine)
        if run is not None:
            run.step()
        return run is not None

    def _closed_job_of(self, session: str) -> int | None:
        """Index of a waiting job of the session that was closed by whoever waited for it."""
        if not session:
            return None
        jobs = enumerate(self._waiting)
        return next((at for at, job in jobs if job.request.session == session and not job.open), None)

    def _make_room(self) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting = [job for job in self._waiting if job.open]
        if len(self._waiting) >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} requests are waiting for the model: try again when some are answered")

    def _end_all(self, error: BackendError) -> None:
        for job in [*self._waiting, *(run.job for run in self._running.values())]:
            job.fail(error)
        self._waiting.clear()

    def _ended(self) -> list[_Run]:
        """Remove and return the runs whose jobs have ended."""
        with self._changed:
            ended = [session for session, run in self._running.items() if not run.job.open]
            return [self._running.pop(session) for session in ended]

    def _next(self, engine: CompletionEngine) -> _Run | None:
        """Start waiting jobs while there are slots; return the run that has waited longest for its turn."""
        with self._changed:
            for job in tuple(self._waiting):
                if len(self._running) < max(1, engine.parallel) and job.request.session not in self._running:
                    self._start(job, engine)
            if not self._running:
                return None
            session = next(iter(self._running))
            run = self._running[session] = self._running.pop(session)  # moves to the end
            return run

    def _start(self, job: Job, engine: CompletionEngine) -> None:
        self._waiting.remove(job)
        if job.open:
            session = job.request.session
            self._running[session] = _Run(job, engine)
            # The rest of its session goes to the end of the queue.
            self._waiting.sort(key=lambda waiting: waiting.request.session == session)


class _Run:
    """A job that is being computed."""

    def __init__(self, job: Job, engine: CompletionEngine) -> None:
        self.job = job
        self._chunks = engine.complete(job.request)

    def step(self) -> None:
        """Compute one step. Never raises."""
        try:
            self.job.send(next(self._chunks))
        except BaseException as error:  # panics of native libraries are not Exceptions
            self.job.fail(as_backend_error(error))

    def close(self) -> None:
        """Stop computing. Never raises."""
        try:
            self._chunks.close()
        except BaseException:
            logger.exception("a completion failed when it was closed")


def as_backend_error(error: BaseException) -> BackendError:
    """Turn an unexpected exception into the failure of one request."""
    if isinstance(error, BackendError):
        return error
    failure = BackendError(f"the model failed: {type(error).__name__}: {error}; --debug shows where")
    failure.__cause__ = error
    return failure
