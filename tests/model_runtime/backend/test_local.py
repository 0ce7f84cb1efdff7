"""The worker and its streams: order, cancellation, deadlines, failures. Most tests script the engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from model_runtime import open_backend
from model_runtime.api import (
    BackendClosed,
    BackendError,
    Busy,
    Chunk,
    CompletionRequest,
    Dtype,
    LoadProgress,
    ModelInfo,
    ModelNotFound,
    ModelOptions,
    Usage,
)
from model_runtime.backend.local import LocalBackend
from model_runtime.engine.engine import Engine

INFO = ModelInfo("scripted", "none", 0, 0, "cpu", "fp32", fill_in_the_middle=False)
REQUEST = CompletionRequest(prefix="abc")


class ScriptedEngine:
    """Answers with its prefix, letter by letter, each when `allow` has been released once more.

    A "!" in it fails. `ended` collects the prefixes in the order in which their work ended.
    """

    info = INFO
    parallel = 2

    def __init__(self, letters: int = 10**6) -> None:
        self.allow = threading.Semaphore(letters)
        self.started = threading.Event()
        self.ended: list[str] = []

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        self.started.set()
        try:
            for count, letter in enumerate(request.prefix, start=1):
                assert self.allow.acquire(timeout=60)
                if letter == "!":
                    raise ZeroDivisionError("a mistake of ours")
                usage = Usage(1, 0, count)
                yield Chunk("", usage=usage)
                yield Chunk(letter, usage=usage)
            yield Chunk("", "length", usage)
        finally:
            self.ended.append(request.prefix)

    def work_in_background(self) -> bool:
        return False


def backend_of(
    engine: ScriptedEngine | Callable[[LoadProgress], ScriptedEngine],
) -> LocalBackend:
    def open_engine(options: ModelOptions, progress: LoadProgress) -> Engine:
        return cast(Engine, engine if isinstance(engine, ScriptedEngine) else engine(progress))

    return LocalBackend(ModelOptions(), open_engine)


async def collect(stream: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in stream]


async def text_of(backend: LocalBackend, request: CompletionRequest) -> str:
    return "".join(chunk.text for chunk in await collect(backend.complete(request)))


async def test_a_stream_has_text_with_what_it_cost_so_far_and_one_last_chunk_with_a_reason() -> None:
    async with aclosing_backend(backend_of(ScriptedEngine())) as backend:
        chunks = await collect(backend.complete(REQUEST))
    assert chunks == [
        *(Chunk(letter, usage=Usage(1, 0, count)) for count, letter in enumerate("abc", 1)),
        Chunk("", "length", Usage(1, 0, 3)),
    ]


async def test_requests_are_answered_in_order() -> None:
    engine = ScriptedEngine()
    async with aclosing_backend(backend_of(engine)) as backend:
        texts = await asyncio.gather(
            *(text_of(backend, CompletionRequest(prefix=f"request {n}")) for n in range(5))
        )
    assert texts == engine.ended == [f"request {n}" for n in range(5)]


async def test_closing_a_stream_frees_the_model_within_a_step() -> None:
    engine = ScriptedEngine(letters=1)
    async with aclosing_backend(backend_of(engine)) as backend:
        async with aclosing(backend.complete(CompletionRequest(prefix="a" * 1000))) as stream:
            assert (await anext(stream)).text == "a"
        engine.allow.release(4)
        assert await text_of(backend, REQUEST) == "abc"  # the four letters were enough for both


async def test_cancelling_a_waiting_task_frees_the_model() -> None:
    engine = ScriptedEngine(letters=0)
    async with aclosing_backend(backend_of(engine)) as backend:
        task = asyncio.create_task(text_of(backend, CompletionRequest(prefix="a" * 1000)))
        await asyncio.to_thread(engine.started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        engine.allow.release(4)
        assert await text_of(backend, REQUEST) == "abc"


async def test_a_stream_closed_before_its_turn_costs_nothing() -> None:
    engine = ScriptedEngine(letters=0)
    async with aclosing_backend(backend_of(engine)) as backend:
        first = asyncio.create_task(text_of(backend, CompletionRequest(prefix="a")))
        await asyncio.to_thread(engine.started.wait, 60)
        second = asyncio.create_task(text_of(backend, CompletionRequest(prefix="b")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        engine.allow.release(10)
        assert await first == "a"
        assert await text_of(backend, CompletionRequest(prefix="c")) == "c"
    assert engine.ended == ["a", "c"]


async def test_a_stream_ends_at_its_deadline_though_a_step_is_running() -> None:
    engine = ScriptedEngine(letters=2)
    async with aclosing_backend(backend_of(engine)) as backend:
        await backend.load()
        deadline = time.monotonic() + 0.3
        chunks = await collect(backend.complete(CompletionRequest(prefix="abc", deadline=deadline)))
        assert [chunk.text for chunk in chunks] == ["a", "b", ""]
        assert chunks[-1] == Chunk("", "deadline", Usage(1, 0, 2))
        assert time.monotonic() >= deadline - 0.1
        engine.allow.release(10)
        assert await text_of(backend, REQUEST) == "abc"


@pytest.mark.parametrize("ahead", [-5.0, 0.05])
async def test_a_deadline_is_kept_while_the_model_loads(ahead: float) -> None:
    go_on = threading.Event()

    def slow(progress: LoadProgress) -> ScriptedEngine:
        assert go_on.wait(60)
        return ScriptedEngine()

    async with aclosing_backend(backend_of(slow)) as backend:
        request = CompletionRequest(prefix="abc", deadline=time.monotonic() + ahead)
        assert await collect(backend.complete(request)) == [Chunk("", "deadline", Usage(0, 0, 0))]
        go_on.set()
        assert await text_of(backend, REQUEST) == "abc"


async def test_a_session_that_closes_its_older_requests_has_the_newest_answered_next() -> None:
    engine = ScriptedEngine(letters=1)
    async with aclosing_backend(backend_of(engine)) as backend:
        running = backend.complete(CompletionRequest(prefix="a" * 1000, session="s"))
        assert (await anext(running)).text == "a"
        waiting = backend.complete(CompletionRequest(prefix="b", session="s"))
        begun = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0)
        await running.aclose()
        begun.cancel()
        newest = asyncio.create_task(text_of(backend, CompletionRequest(prefix="c", session="s")))
        await asyncio.sleep(0)
        engine.allow.release(3)
        assert await newest == "c"
    assert engine.ended[-1] == "c"


async def test_a_long_completion_does_not_hold_up_another_session() -> None:
    engine = ScriptedEngine(letters=1)
    async with aclosing_backend(backend_of(engine)) as backend:
        long = backend.complete(CompletionRequest(prefix="a" * 1000, session="a"))
        await anext(long)
        short = asyncio.create_task(text_of(backend, CompletionRequest(prefix="b", session="b")))
        await asyncio.sleep(0)
        engine.allow.release(10)
        assert await short == "b"
        assert engine.ended == ["b"]
        await long.aclose()
        engine.allow.release(10)


async def test_more_requests_than_can_wait_are_refused() -> None:
    engine = ScriptedEngine(letters=0)
    async with aclosing_backend(backend_of(engine)) as backend:
        asked = [asyncio.create_task(text_of(backend, REQUEST)) for _ in range(100)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        engine.allow.release(3 * len(asked))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Busy)]
    assert 0 < len(refused) < len(asked)
    assert "try again" in str(refused[0])
    assert all(answer == "abc" for answer in answers if not isinstance(answer, Busy))


async def test_the_engine_works_ahead_while_there_are_no_requests() -> None:
    class Ahead(ScriptedEngine):
        def __init__(self) -> None:
            super().__init__()
            self.pieces = 3
            self.done = threading.Event()

        def work_in_background(self) -> bool:
            self.pieces -= 1
            if self.pieces == 0:
                self.done.set()
            return self.pieces > 0

    engine = Ahead()
    async with aclosing_backend(backend_of(engine)) as backend:
        assert await text_of(backend, REQUEST) == "abc"
        assert await asyncio.to_thread(engine.done.wait, 60)
        assert await text_of(backend, REQUEST) == "abc"


async def test_an_error_while_working_ahead_affects_no_request() -> None:
    class Broken(ScriptedEngine):
        def work_in_background(self) -> bool:
            raise ZeroDivisionError

    async with aclosing_backend(backend_of(Broken())) as backend:
        assert await text_of(backend, REQUEST) == "abc"
        assert await text_of(backend, REQUEST) == "abc"


async def test_closing_before_the_load_has_begun_ends_all_waiting() -> None:
    backend = backend_of(ScriptedEngine())
    load = asyncio.ensure_future(backend.load())
    await asyncio.sleep(0)
    await backend.close()
    assert await asyncio.wait_for(asyncio.gather(load, return_exceptions=True), 60)


async def test_concurrent_loads_share_one_and_all_see_its_progress() -> None:
    opened: list[int] = []
    everyone_is_there = threading.Event()

    def count(progress: LoadProgress) -> ScriptedEngine:
        opened.append(1)
        assert everyone_is_there.wait(60)
        progress(0.5, "half")
        return ScriptedEngine()

    seen: list[list[tuple[float, str]]] = [[], []]
    async with aclosing_backend(backend_of(count)) as backend:
        loads = [
            asyncio.create_task(backend.load(lambda share, what, log=log: log.append((share, what))))  # type: ignore[misc]
            for log in seen
        ]
        completion = asyncio.create_task(text_of(backend, REQUEST))
        await asyncio.sleep(0)
        everyone_is_there.set()
        assert await asyncio.gather(*loads) == [INFO, INFO]
        assert await completion == "abc"
        assert await backend.load() == INFO
    assert opened == [1]
    assert seen == [[(0.5, "half"), (1.0, "ready")]] * 2


async def test_a_caller_that_gives_up_does_not_cancel_the_load() -> None:
    go_on = threading.Event()

    def slow(progress: LoadProgress) -> ScriptedEngine:
        assert go_on.wait(60)
        return ScriptedEngine()

    async with aclosing_backend(backend_of(slow)) as backend:
        impatient, patient = (asyncio.create_task(backend.load()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        go_on.set()
        assert await patient == INFO
        assert impatient.cancelled()


async def test_a_failed_load_is_an_error_for_all_and_can_be_retried() -> None:
    failures = [ModelNotFound("nothing there")]
    everyone_is_there = threading.Event()

    def fail_once(progress: LoadProgress) -> ScriptedEngine:
        assert everyone_is_there.wait(60)
        if failures:
            raise failures.pop()
        return ScriptedEngine()

    async with aclosing_backend(backend_of(fail_once)) as backend:
        waiting = [
            asyncio.create_task(backend.load()),
            asyncio.create_task(backend.load()),
            asyncio.create_task(text_of(backend, REQUEST)),
        ]
        await asyncio.sleep(0)
        everyone_is_there.set()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert len({id(error) for error in errors}) == 1
        assert isinstance(errors[0], ModelNotFound)
        assert await backend.load() == INFO
        assert await text_of(backend, REQUEST) == "abc"


async def test_a_progress_listener_that_fails_does_not_harm_the_load() -> None:
    def engine(progress: LoadProgress) -> ScriptedEngine:
        progress(0.1, "first")
        progress(0.2, "second")
        return ScriptedEngine()

    calls: list[float] = []

    def broken(share: float, what: str) -> None:
        calls.append(share)
        if share < 1:
            raise RuntimeError("the event loop is closed")

    async with aclosing_backend(backend_of(engine)) as backend:
        assert await backend.load(broken) == INFO
    assert calls == [0.1, 1.0]


async def test_an_unexpected_error_fails_one_request_and_the_worker_survives() -> None:
    async with aclosing_backend(backend_of(ScriptedEngine())) as backend:
        stream = backend.complete(CompletionRequest(prefix="a!"))
        assert (await anext(stream)).text == "a"
        with pytest.raises(BackendError, match="ZeroDivisionError: a mistake of ours") as caught:
            await anext(stream)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert await text_of(backend, REQUEST) == "abc"


async def test_closing_ends_running_and_waiting_streams() -> None:
    engine = ScriptedEngine(letters=1)
    backend = backend_of(engine)
    running = backend.complete(REQUEST)
    assert (await anext(running)).text == "a"
    waiting = asyncio.create_task(text_of(backend, REQUEST))
    await asyncio.sleep(0)
    closing = asyncio.create_task(backend.close())
    with pytest.raises(BackendClosed):
        await anext(running)
    with pytest.raises(BackendClosed):
        await waiting
    engine.allow.release(1)  # ends the step that is under way
    await closing
    assert engine.ended == ["abc"]
    await backend.close()


async def test_closing_while_it_loads_ends_the_load() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(progress: LoadProgress) -> ScriptedEngine:
        begun.set()
        assert go_on.wait(60)
        progress(0.5, "half")
        raise AssertionError("went on loading")

    backend = backend_of(slow)
    load = asyncio.create_task(backend.load())
    await asyncio.to_thread(begun.wait, 60)
    closing = asyncio.create_task(backend.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    with pytest.raises(BackendClosed):
        await load


@pytest.mark.parametrize("used", [True, False])
async def test_a_closed_backend_refuses_work(used: bool) -> None:
    backend = backend_of(ScriptedEngine())
    if used:
        await backend.load()
    await backend.close()
    with pytest.raises(BackendClosed):
        await backend.load()
    with pytest.raises(BackendClosed):
        await anext(backend.complete(REQUEST))


def test_one_backend_serves_one_event_loop_after_another() -> None:
    engine = ScriptedEngine(letters=4)
    backend = backend_of(engine)

    async def leave_it_open() -> None:
        stream = backend.complete(CompletionRequest(prefix="a" * 1000))
        assert (await anext(stream)).text == "a"

    async def use_and_close() -> None:
        assert await text_of(backend, REQUEST) == "abc"
        await backend.close()

    asyncio.run(leave_it_open())
    engine.allow.release(10)
    asyncio.run(use_and_close())


@pytest.mark.parametrize("dtype", ["auto", "fp32", "fp16", "bf16"])
async def test_a_real_model_streams_and_reuses_what_it_computed(
    checkpoint_folder: Path, dtype: Dtype
) -> None:
    backend = open_backend(ModelOptions(model=str(checkpoint_folder), device="cpu", dtype=dtype))
    prefix = "def add(first, second):\n    "
    whole = await collect(backend.complete(CompletionRequest(prefix=prefix, max_tokens=12)))
    async with aclosing(backend.complete(CompletionRequest(prefix=prefix, max_tokens=200))) as stream:
        begun = [await anext(stream) for _ in range(3)]
    again = await collect(backend.complete(CompletionRequest(prefix=prefix, max_tokens=12)))
    await backend.close()
    if dtype in ("auto", "fp32"):  # elsewhere rounding may decide, which depends on the widths of passes
        assert [chunk.text for chunk in begun] == [chunk.text for chunk in whole[:3]]
        assert [chunk.text for chunk in again] == [chunk.text for chunk in whole]
    assert whole[-1].usage is not None
    assert again[-1].usage is not None
    assert whole[-1].usage.decoded_tokens == again[-1].usage.decoded_tokens == 12
    assert whole[-1].usage.reused_tokens == 0
    assert again[-1].usage.reused_tokens == again[-1].usage.prompt_tokens - 1


class Panic(BaseException):
    """What a native library raises when it gives up."""


async def test_a_load_that_panics_is_an_error_for_all_waiting() -> None:
    def panic(progress: LoadProgress) -> ScriptedEngine:
        raise Panic("out of range")

    async with aclosing_backend(backend_of(panic)) as backend:
        with pytest.raises(BackendError, match="out of range"):
            await backend.load()
        with pytest.raises(BackendError, match="out of range"):
            await anext(backend.complete(REQUEST))


async def test_a_folder_that_is_not_there_fails_the_load_and_the_completion(tmp_path: Path) -> None:
    backend = open_backend(ModelOptions(model=str(tmp_path / "nowhere")))
    with pytest.raises(ModelNotFound, match="no folder"):
        await backend.load()
    with pytest.raises(ModelNotFound, match="no folder"):
        await anext(backend.complete(REQUEST))
    await backend.close()


class aclosing_backend:  # noqa: N801 - named like contextlib's own
    """Closes a backend at the end of an `async with`."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend

    async def __aenter__(self) -> LocalBackend:
        return self._backend

    async def __aexit__(self, *_: object) -> None:
        await self._backend.close()
