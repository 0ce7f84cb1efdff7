"""Sessions: the newest request wins, and whatever ends a completion frees the model."""

from __future__ import annotations

import asyncio
import time

import pytest

from lsp_server.document import Document, Position, Range
from lsp_server.session import PREFIX_CHARACTERS, SUFFIX_CHARACTERS, Selection, Session
from lsp_server.settings import Settings
from model_runtime.api import Backend, ModelNotFound
from tests.lsp_server.fakes import FakeBackend

START = Position(0, 0)


def session(backend: Backend, text: str = "", settings: Settings | None = None) -> Session:
    document = Document(text, uri="file:///a.py", language="python")
    return Session(document, backend, settings or Settings())


async def test_a_completion_is_asked_for_with_what_stands_around_the_cursor() -> None:
    backend = FakeBackend("b")
    settings = Settings(max_tokens=7, temperature=0.5, top_k=3, top_p=0.9)
    await session(backend, "a = \r\nc\r\n", settings).complete(Position(0, 4))
    [request] = backend.requests
    assert (request.prefix, request.suffix) == ("a = ", "\nc\n")
    assert (request.language, request.session) == ("python", "file:///a.py")
    assert (request.max_tokens, request.temperature, request.top_k, request.top_p) == (7, 0.5, 3, 0.9)
    assert request.deadline is None


async def test_text_is_shown_as_it_grows_and_is_whole_in_the_end() -> None:
    shown: list[str] = []
    text = await session(FakeBackend("foo", "(", "1)")).complete(START, show=shown.append)
    assert shown == ["foo", "foo(", "foo(1)"]
    assert text == "foo(1)"


async def test_a_stream_is_closed_as_soon_as_there_is_enough() -> None:
    backend = FakeBackend("1\n", "never read")
    backend.may_finish.clear()
    assert await session(backend, "x = y").complete(Position(0, 4)) == "1"
    assert backend.closed == backend.requests


async def test_a_newer_request_takes_the_place_of_the_running_one() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    subject = session(backend)
    older = asyncio.create_task(subject.complete(START))
    await backend.waiting.wait()
    newer = asyncio.create_task(subject.complete(START))
    assert await older is None
    assert backend.closed == backend.requests[:1]
    backend.may_finish.set()
    assert await newer == "a"


async def test_of_many_requests_while_the_model_loads_only_the_newest_reaches_it() -> None:
    backend = FakeBackend("a")
    backend.may_load.clear()
    subject = session(backend, "xyz")
    asked = [asyncio.create_task(subject.complete(Position(0, column))) for column in range(4)]
    await asyncio.sleep(0)
    backend.may_load.set()
    assert await asyncio.gather(*asked) == [None, None, None, "a"]
    assert [request.prefix for request in backend.requests] == ["xyz"]


async def test_whoever_cancels_a_request_ends_its_completion() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    asked = asyncio.create_task(session(backend).complete(START))
    await backend.waiting.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert backend.closed == backend.requests


async def test_closing_a_document_ends_its_completion() -> None:
    backend = FakeBackend("a")
    backend.may_finish.clear()
    subject = session(backend)
    asked = asyncio.create_task(subject.complete(START))
    await backend.waiting.wait()
    subject.cancel()
    assert await asked is None
    assert backend.closed == backend.requests


async def test_a_latency_budget_begins_when_the_model_is_loaded() -> None:
    backend = FakeBackend("a")
    backend.may_load.clear()
    asked = asyncio.create_task(session(backend, settings=Settings(latency_budget_ms=1000)).complete(START))
    await asyncio.sleep(0.05)
    loaded = time.monotonic()
    backend.may_load.set()
    await asked
    [request] = backend.requests
    assert request.deadline is not None
    assert request.deadline >= loaded + 1


async def test_a_selected_item_counts_as_accepted() -> None:
    backend = FakeBackend("(1)")
    selection = Selection("print", Range(Position(0, 0), Position(0, 2)))
    assert await session(backend, "pr\n").complete(Position(0, 2), selection) == "(1)"
    assert (backend.requests[0].prefix, backend.requests[0].suffix) == ("print", "\n")


async def test_a_model_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(ModelNotFound):
        await session(FakeBackend(error=ModelNotFound("there is no model"))).complete(START)


async def test_a_huge_file_makes_a_small_request() -> None:
    backend = FakeBackend()
    await session(backend, "line\n" * 200_000).complete(Position(100_000, 0))
    [request] = backend.requests
    assert PREFIX_CHARACTERS <= len(request.prefix) < 2 * PREFIX_CHARACTERS
    assert len(request.suffix) == SUFFIX_CHARACTERS


async def test_a_surrogate_on_its_own_does_not_reach_the_model() -> None:
    backend = FakeBackend()
    await session(backend, "a\ud83d\nb").complete(Position(1, 0))
    assert backend.requests[0].prefix == "a\ufffd\n"
