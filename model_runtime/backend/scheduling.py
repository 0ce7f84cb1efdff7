"""Who is answered when: the requests of a session one after another, and sessions in turns, a step at a time.

Any thread may submit a job and end it; one thread, the backend's worker, makes the engine's steps. However
they meet, a job ends exactly once, and from then on nothing reaches whoever waited for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
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

MOST_WAITING = 32
"""Maximum number of requests that wait for a slot."""

Item = Chunk | BackendError

logger = logging.getLogger(__name__)


class Completes(Protocol):
    """What the scheduler needs of an engine."""

    @property
    def parallel(self) -> int:
        """How many completions it can be at work at."""
        ...

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        """Chunks, the last one with a finish reason; closing ends the work."""
        ...


class Job:
    """One completion that somebody waits for.

    Args:
        request: what is asked.
        deliver: takes text, and at last a chunk with a finish reason or an error; from any thread. It
            returns False where nobody is left who takes them.
    """

    def __init__(self, request: CompletionRequest, deliver: Callable[[Item], bool]) -> None:
        self.request = request
        self._deliver = deliver
        self._usage = Usage(prompt_tokens=0, reused_tokens=0, decoded_tokens=0)
        self._open = True
        self._lock = threading.Lock()  # so that nothing is delivered behind the end

    @property
    def open(self) -> bool:
        """Whether anything can still be delivered."""
        return self._open

    def send(self, chunk: Chunk) -> None:
        """Deliver a chunk that has text or a finish reason; the latter ends the job."""
        with self._lock:
            if not self._open:
                return
            self._usage = chunk.usage or self._usage
            if chunk.text or chunk.finish:
                self._open = self._deliver(chunk) and chunk.finish is None

    def finish(self, reason: FinishReason) -> None:
        """End the job with what it has, from any thread."""
        self.send(Chunk("", reason, self._usage))

    def fail(self, error: BackendError) -> None:
        """End the job with an error, from any thread."""
        with self._lock:
            if self._open:
                self._open = False
                self._deliver(error)

    def close(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._open = False


class Scheduler:
    """Jobs that wait and jobs that run. Those of no session stand in line, as if they were one session."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards what follows
        self._waiting: dict[str, deque[Job]] = {}  # by session, in the order of admission
        self._running: dict[str, _Run] = {}  # by session, in the order of their turns
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def submit(self, job: Job) -> None:
        """Take a job; it stands in line behind the older ones of its session that are still open.

        Raises:
            BackendClosed: no work is taken any more.
            Busy: too many wait.
        """
        with self._changed:
            if self._closed:
                raise BackendClosed("the model was closed: open it again")
            self._make_room()
            self._waiting.setdefault(job.request.session, deque()).append(job)
            self._changed.notify()

    def close(self) -> None:
        """End all jobs, and take no more."""
        with self._changed:
            self._closed = True
            self._end_all(BackendClosed("the model was closed before the completion ended"))
            self._changed.notify()

    def fail_all(self, error: BackendError) -> None:
        """End all jobs with an error."""
        with self._changed:
            self._end_all(error)

    def wait(self) -> bool:
        """Until there is something for `step` to do; False where there will be nothing any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._running)
            return bool(self._running) or not self._closed

    def step(self, engine: Completes) -> bool:
        """Make one step of whoever's turn it is; False where nobody is there. For the worker alone.

        What has ended since the last step gives up its slot before anything else begins.
        """
        for ended in self._ended():
            ended.close()
        run = self._next(engine)
        if run is not None:
            run.step()
        return run is not None

    def _make_room(self) -> None:
        if sum(map(len, self._waiting.values())) < MOST_WAITING:
            return
        for session, line in self._waiting.items():
            self._waiting[session] = deque(job for job in line if job.open)
        if sum(map(len, self._waiting.values())) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} requests are waiting for the model: try again when some are answered")

    def _end_all(self, error: BackendError) -> None:
        for line in self._waiting.values():
            for job in line:
                job.fail(error)
        self._waiting.clear()
        for run in self._running.values():
            run.job.fail(error)

    def _ended(self) -> list[_Run]:
        """Take out the runs that nobody waits for any more."""
        with self._changed:
            ended = [session for session, run in self._running.items() if not run.job.open]
            return [self._running.pop(session) for session in ended]

    def _next(self, engine: Completes) -> _Run | None:
        """Admit whoever there is room for; the run that has waited longest for its turn."""
        with self._changed:
            for session in list(self._waiting):
                if len(self._running) < max(1, engine.parallel) and session not in self._running:
                    self._admit(session, engine)
            if not self._running:
                return None
            session = next(iter(self._running))
            run = self._running[session] = self._running.pop(session)  # now the last one
            return run

    def _admit(self, session: str, engine: Completes) -> None:
        """Begin the first job in a session's line; the others stand at the end of all."""
        line = self._waiting.pop(session)
        while line:
            job = line.popleft()
            if job.open:
                self._running[session] = _Run(job, engine)
                break
        if line:
            self._waiting[session] = line


class _Run:
    """A job that has begun."""

    def __init__(self, job: Job, engine: Completes) -> None:
        self.job = job
        self._chunks = engine.complete(job.request)

    def step(self) -> None:
        """One step of the work. Never raises."""
        try:
            self.job.send(next(self._chunks))
        except BaseException as error:  # a panic of a native library is no Exception
            self.job.fail(as_backend_error(error))

    def close(self) -> None:
        """End the work. Never raises."""
        try:
            self._chunks.close()
        except BaseException:
            logger.exception("a completion failed when it was closed")


def as_backend_error(error: BaseException) -> BackendError:
    """A mistake of ours becomes the failure of one request; the worker lives on."""
    if isinstance(error, BackendError):
        return error
    failure = BackendError(f"the model failed: {type(error).__name__}: {error}; --debug shows where")
    failure.__cause__ = error
    return failure
