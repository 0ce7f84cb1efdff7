"""Sessions: the newest request wins, and the model writes on only for as long as somebody may want it."""

from __future__ import annotations

import asyncio
import time

import pytest

from lsp_server.completion.cursor_text import PREFIX_CHARACTERS, SUFFIX_CHARACTERS
from lsp_server.completion.session import Answer, Session, Show
from lsp_server.completion.suggester import SessionServices
from lsp_server.document import Document, Edit, Position, Range, Selection
from lsp_server.settings import Settings
from model_runtime.api import Backend, ModelNotFound, Usage
from tests.lsp_server.fakes import FakeBackend
from tests.lsp_server.scripted import ScriptedBackend
from tests.lsp_server.virtual_time import in_virtual_time, settle

START = Position(0, 0)
BUDGET = Settings(latency_budget_ms=150)


def session(backend: Backend, text: str = "\n#\n", settings: Settings | None = None) -> Session:
    document = Document(text, uri="file:///a.py", language="python")
    return Session(document, SessionServices(backend, settings or Settings(latency_budget_ms=None)))


class Typist:
    """Somebody who edits a session's document at a cursor and asks for completions there."""

    def __init__(
        self, backend: ScriptedBackend, text: str = "x = ", settings: Settings | None = None
    ) -> None:
        self.backend = backend
        self.session = session(backend, text, settings)
        self.cursor = self.session.document.position_at(len(text))

    def type(self, text: str, after: str = "") -> None:
        """Insert `text` before the cursor, and what the editor puts behind it by itself."""
        where = Range(self.cursor, self.cursor)
        self.session.edit([Edit(text + after, where)], 2)
        document = self.session.document
        self.cursor = document.position_at(document.offset_at(self.cursor) + len(text))

    def delete(self, count: int) -> None:
        document = self.session.document
        start = document.position_at(document.offset_at(self.cursor) - count)
        self.session.edit([Edit("", Range(start, self.cursor))], 2)
        self.cursor = start

    def ask(self, *, invoked: bool = False, show: Show | None = None) -> asyncio.Task[Answer | None]:
        return asyncio.create_task(self.session.complete(self.cursor, invoked=invoked, show=show))

    async def asked(self) -> asyncio.Task[Answer | None]:
        """A request that has come as far as it can."""
        asking = self.ask()
        await settle()
        return asking

    async def text(self) -> str:
        """What is answered at once, from memory."""
        asking = await self.asked()
        assert asking.done(), "the model is asked"
        return text_of(asking)


def texts(answer: Answer) -> list[str]:
    return [suggestion.piece.text for suggestion in answer.suggestions]


def text_of(asking: asyncio.Task[Answer | None]) -> str:
    answer = asking.result()
    assert answer is not None, "superseded"
    return texts(answer)[0]


async def test_a_completion_is_asked_for_with_what_stands_around_the_cursor() -> None:
    backend = FakeBackend("b")
    settings = Settings(max_tokens=7, temperature=0.5, top_k=3, top_p=0.9, latency_budget_ms=None)
    await session(backend, "a = \r\nc\r\n", settings).complete(Position(0, 4))
    [request] = backend.requests
    assert (request.prefix, request.suffix) == ("a = ", "\nc\n")
    assert (request.language, request.session) == ("python", "file:///a.py")
    assert (request.max_tokens, request.temperature, request.top_k, request.top_p) == (7, 0.5, 3, 0.9)
    assert request.deadline is None


async def test_text_is_shown_as_it_grows_and_is_whole_in_the_end() -> None:
    shown: list[str] = []
    answer = await session(FakeBackend("foo", "(", "1)")).complete(
        START, show=lambda one: shown.extend(texts(one))
    )
    assert shown == ["foo", "foo(", "foo(1)"]
    assert answer is not None
    assert texts(answer) == ["foo(1)"]
    assert answer.source == "model"


@in_virtual_time
async def test_a_line_is_answered_when_it_is_whole_and_the_next_one_is_made_meanwhile() -> None:
    typist = Typist(ScriptedBackend(), "if x:\n    y = ")
    asking = await typist.asked()
    await typist.backend.last.write("1\n")
    assert text_of(asking) == "1"
    await typist.backend.last.write("    return")
    assert typist.backend.running
    await typist.backend.last.write(" y\n")
    assert not typist.backend.running
    typist.type("1\n    ")
    assert await typist.text() == "return y"
    assert typist.backend.last.request.prefix.endswith("return y\n")  # there may be a whole block of them


@in_virtual_time
async def test_a_newer_request_takes_the_place_of_one_that_it_disagrees_with() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    older = await typist.asked()
    await typist.backend.last.write("foo")
    typist.type("b")
    newer = await typist.asked()
    assert older.result() is None
    assert [stream.closed for stream in typist.backend.streams] == [True, False]
    await typist.backend.last.write("ar")
    await typist.backend.last.finish()
    assert text_of(newer) == "ar"


@in_virtual_time
async def test_a_generation_that_agrees_with_what_was_typed_is_kept() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    older = await typist.asked()
    await typist.backend.last.write("foo")
    typist.type("f")
    newer = await typist.asked()
    assert older.result() is None
    await typist.backend.last.write("(1)")
    await typist.backend.last.finish()
    assert text_of(newer) == "oo(1)"
    assert len(typist.backend.streams) == 1


@in_virtual_time
async def test_what_is_typed_ahead_of_the_model_begins_a_new_generation() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    await typist.asked()
    await typist.backend.last.write("f")
    typist.type("foo")
    await typist.asked()
    assert [stream.closed for stream in typist.backend.streams] == [True, False]
    assert typist.backend.last.request.prefix == "x = foo"


@in_virtual_time
async def test_typing_what_is_shown_asks_the_model_nothing() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo(1)")
    await typist.backend.last.finish()
    await asking
    for typed, left in (("f", "oo(1)"), ("oo", "(1)"), ("(1", ")")):
        typist.type(typed)
        asking = await typist.asked()
        assert text_of(asking) == left
        answer = asking.result()
        assert answer is not None
        assert answer.source == "memory"
    assert len(typist.backend.streams) == 1


@in_virtual_time
async def test_a_wrong_key_that_is_taken_back_costs_nothing() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo(1)")
    await typist.backend.last.finish()
    await asking
    typist.type("g")
    wrong = await typist.asked()
    typist.delete(1)
    assert await typist.text() == "foo(1)"
    assert wrong.result() is None
    assert not typist.backend.running


@in_virtual_time
async def test_a_suggestion_survives_the_bracket_that_the_editor_closes() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo(1)")
    await typist.backend.last.finish()
    assert text_of(asking) == "foo(1)"
    typist.type("foo(", after=")")
    assert await typist.text() == "1"
    typist.type("1")
    typist.cursor = typist.session.document.position_at(9)
    assert len(typist.backend.streams) == 1


@in_virtual_time
async def test_at_the_deadline_there_is_the_best_whole_piece_and_later_the_rest() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    asking = await typist.asked()
    first = typist.backend.last
    assert first.request.deadline == pytest.approx(asyncio.get_running_loop().time() + 0.15)
    await first.write("x = 1\n", "    y = ")
    await asyncio.sleep(0.2)
    assert text_of(asking) == "x = 1"
    rest = typist.backend.last
    assert rest.request.prefix == "def f():\n    x = 1\n    y = "
    assert rest.request.deadline is None
    assert rest.request.max_tokens == first.request.max_tokens - 2
    await rest.write("2\n")
    await rest.finish()
    typist.type("x")
    assert await typist.text() == " = 1\n    y = 2"
    assert len(typist.backend.streams) == 2


@in_virtual_time
async def test_what_is_shown_is_typed_through_while_the_rest_is_being_written() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    asking = await typist.asked()
    await typist.backend.last.write("x = 1\n", "    y = ")
    await asyncio.sleep(0.2)
    assert text_of(asking) == "x = 1"
    typist.type("x")
    assert await typist.text() == " = 1"
    assert typist.backend.running


@in_virtual_time
async def test_the_rest_is_cancelled_once_something_else_is_typed() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    await typist.asked()
    await typist.backend.last.write("x = 1\n", "    y = ")
    await asyncio.sleep(0.2)
    rest = typist.backend.last
    typist.type("z")
    await typist.asked()
    assert rest.closed
    assert typist.backend.last.request.prefix.endswith("z")


@in_virtual_time
async def test_where_nothing_is_whole_at_the_deadline_the_first_whole_piece_is_the_answer() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    asking = await typist.asked()
    await asyncio.sleep(1)
    assert not asking.done()
    await typist.backend.last.write("x = 1\n", "    y = ")
    assert text_of(asking) == "x = 1"


@in_virtual_time
async def test_a_backend_that_ends_before_the_deadline_is_not_waited_for() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    asking = await typist.asked()
    await typist.backend.last.write("x = 1\n", "    y = ")
    assert not asking.done()
    await typist.backend.last.finish("deadline")
    assert text_of(asking) == "x = 1"


@in_virtual_time
async def test_a_request_for_what_is_being_generated_has_a_latency_budget_of_its_own() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    await typist.asked()
    await typist.backend.last.write("x = 1\n", "    y = ")
    await asyncio.sleep(0.1)
    typist.type("x")
    asking = await typist.asked()
    await asyncio.sleep(0.1)
    assert not asking.done()
    await asyncio.sleep(0.1)
    assert text_of(asking) == " = 1"


@in_virtual_time
async def test_who_sees_the_text_grow_is_not_cut_short() -> None:
    typist = Typist(ScriptedBackend(), "def f():\n    ", settings=BUDGET)
    shown: list[str] = []
    asking = typist.ask(show=lambda one: shown.extend(texts(one)))
    await settle()
    await typist.backend.last.write("x = 1\n", "    y = ")
    await asyncio.sleep(0.2)
    assert not asking.done()
    await typist.backend.last.write("2\n")
    await typist.backend.last.finish()
    assert text_of(asking) == "x = 1\n    y = 2"
    assert all("x = 1\n    y = 2".startswith(text) for text in shown)


@in_virtual_time
async def test_a_latency_budget_begins_when_the_model_is_loaded() -> None:
    backend = ScriptedBackend()
    backend.may_load.clear()
    typist = Typist(backend, settings=BUDGET)
    asking = await typist.asked()
    await asyncio.sleep(5)
    backend.may_load.set()
    await settle()
    loaded = asyncio.get_running_loop().time()
    assert backend.last.request.deadline == pytest.approx(loaded + 0.15)
    await backend.last.write("x")
    assert not asking.done()


@in_virtual_time
async def test_of_many_requests_while_the_model_loads_only_the_newest_reaches_it() -> None:
    backend = ScriptedBackend()
    backend.may_load.clear()
    typist = Typist(backend, "")
    asked = []
    for character in "wxyz":
        typist.type(character)
        asked.append(await typist.asked())
    backend.may_load.set()
    await settle()
    await backend.last.finish()
    assert [asking.result() is None for asking in asked] == [True, True, True, False]
    assert [stream.request.prefix for stream in backend.streams] == ["wxyz"]


@in_virtual_time
async def test_after_an_accept_the_next_completion_is_under_way() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo(1)")
    await typist.backend.last.finish("length")
    answer = await asking
    assert answer is not None
    typist.session.prefetch(answer.cursor_text.after(answer.suggestions[0].piece))
    await settle()
    assert typist.backend.last.request.prefix == "x = foo(1)"
    assert typist.backend.last.request.deadline is None
    await typist.backend.last.write(" + 2")
    await typist.backend.last.finish()
    typist.type("foo(1)")
    assert await typist.text() == " + 2"


@in_virtual_time
async def test_after_an_accept_that_ends_a_line_the_next_line_is_under_way() -> None:
    typist = Typist(ScriptedBackend(), "    if x")
    asking = await typist.asked()
    await typist.backend.last.write(":")
    await typist.backend.last.finish()
    answer = await asking
    assert answer is not None
    typist.session.prefetch(answer.cursor_text.after(answer.suggestions[0].piece))
    await settle()
    assert typist.backend.last.request.prefix == "    if x:\n        "
    await typist.backend.last.write("pass")
    await typist.backend.last.finish()
    typist.type(":\n        ")
    assert await typist.text() == "pass"


@in_virtual_time
async def test_a_model_that_is_slower_than_the_typing_is_asked_in_a_pause() -> None:
    typist = Typist(ScriptedBackend())
    for number in range(5):
        typist.type(f"{number} = ")
        asking = await typist.asked()
        await asyncio.sleep(1)
        await typist.backend.last.write("x")
        await typist.backend.last.finish()
        assert text_of(asking) == "x"
    asked = len(typist.backend.streams)
    for character in "word":
        typist.type(character)
        asking = await typist.asked()
        await asyncio.sleep(0.05)
    assert len(typist.backend.streams) == asked
    await asyncio.sleep(0.2)
    assert len(typist.backend.streams) == asked + 1
    await typist.backend.last.finish()
    await asking


@in_virtual_time
async def test_who_asks_by_hand_does_not_wait_for_a_pause() -> None:
    typist = Typist(ScriptedBackend())
    for number in range(5):
        typist.type(f"{number} = ")
        await typist.asked()
        await asyncio.sleep(1)
        await typist.backend.last.finish()
    asked = len(typist.backend.streams)
    typist.type("y")
    asking = typist.ask(invoked=True)
    await settle()
    assert len(typist.backend.streams) == asked + 1
    asking.cancel()


@in_virtual_time
async def test_who_asks_by_hand_gets_candidates_that_differ() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = typist.ask(invoked=True)
    await settle()
    for text in ("1", "1", " 1", "2", "3"):
        await typist.backend.last.write(text)
        await typist.backend.last.finish()
    answer = await asking
    assert answer is not None
    assert texts(answer) == ["1", "2", "3"]
    requests = [stream.request for stream in typist.backend.streams]
    assert requests[0].temperature == 0
    assert all(request.temperature > 0 for request in requests[1:])
    assert len({request.seed for request in requests}) == len(requests)
    typist.type("2")
    assert not typist.backend.running


@in_virtual_time
async def test_a_model_that_says_the_same_again_and_again_is_not_asked_for_ever() -> None:
    backend = FakeBackend("1")
    answer = await session(backend, "x = ").complete(Position(0, 4), invoked=True)
    assert answer is not None
    assert texts(answer) == ["1"]
    assert len(backend.requests) <= 6
    assert backend.closed == backend.requests


@in_virtual_time
async def test_a_candidate_is_typed_through_like_the_first_one() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = typist.ask(invoked=True)
    await settle()
    for text in ("one", "two", "six"):
        await typist.backend.last.write(text)
        await typist.backend.last.finish()
    await asking
    typist.type("t")
    assert await typist.text() == "wo"


@in_virtual_time
async def test_a_newer_request_ends_the_search_for_candidates() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = typist.ask(invoked=True)
    await settle()
    await typist.backend.last.write("1")
    await typist.backend.last.finish()
    sample = typist.backend.last
    newer = await typist.asked()
    assert asking.result() is None
    assert sample.closed
    assert text_of(newer) == "1"


@in_virtual_time
async def test_a_cancelled_completion_is_ended_unless_the_next_key_wants_it() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    typist.type("f")
    newer = await typist.asked()
    await asyncio.sleep(1)
    assert len(typist.backend.running) == 1
    newer.cancel()
    await asyncio.sleep(1)
    assert not typist.backend.running


@in_virtual_time
async def test_a_completion_that_was_cancelled_is_continued_when_it_is_requested_again() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo")
    asking.cancel()
    await asyncio.sleep(1)
    again = await typist.asked()
    assert typist.backend.last.request.prefix == "x = foo"
    await typist.backend.last.write("(1)")
    await typist.backend.last.finish()
    assert text_of(again) == "foo(1)"


@in_virtual_time
async def test_closing_a_document_ends_its_completion() -> None:
    typist = Typist(ScriptedBackend())
    asking = await typist.asked()
    typist.session.close()
    await typist.session.wait_closed()
    assert await asking is None
    assert not typist.backend.running


@in_virtual_time
async def test_work_in_another_document_cancels_what_no_request_waits_for() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    waiting = await typist.asked()
    typist.session.cancel_background()
    await settle()
    assert typist.backend.running
    await typist.backend.last.write("1\n")
    assert text_of(waiting) == "1"
    assert typist.backend.running
    typist.session.cancel_background()
    await settle()
    assert not typist.backend.running


@in_virtual_time
async def test_an_answer_tells_all_that_was_computed_since_the_last_one() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    await typist.asked()
    await typist.backend.last.write("f")  # overtaken
    typist.type("b")
    asking = await typist.asked()
    await typist.backend.last.write("ar\n")
    answer = asking.result()
    assert answer is not None
    assert answer.usage == Usage(prompt_tokens=10, reused_tokens=6, decoded_tokens=2)
    await typist.backend.last.write("y = 1\n")  # before it is asked for
    typist.type("z")
    asking = await typist.asked()
    await typist.backend.last.finish()
    answer = asking.result()
    assert answer is not None
    assert answer.usage == Usage(prompt_tokens=5, reused_tokens=3, decoded_tokens=1)


@in_virtual_time
async def test_after_the_cache_is_cleared_the_model_is_asked_again() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    waiting = await typist.asked()
    typist.session.clear_cache()
    await settle()
    assert [stream.closed for stream in typist.backend.streams] == [True, False]
    await typist.backend.last.write("1")
    await typist.backend.last.finish()
    assert text_of(waiting) == "1"
    typist.session.clear_cache()
    await typist.asked()
    assert len(typist.backend.streams) == 3


@in_virtual_time
async def test_a_stream_that_the_backend_ends_early_is_an_answer() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("foo(1)")
    await typist.backend.last.finish("length")
    assert asking.done()


async def test_a_selected_item_counts_as_accepted() -> None:
    backend = FakeBackend("(1)")
    selection = Selection("print", Range(Position(0, 0), Position(0, 2)))
    answer = await session(backend, "pr\n").complete(Position(0, 2), selection)
    assert answer is not None
    assert texts(answer)[0] == "(1)"
    assert (backend.requests[0].prefix, backend.requests[0].suffix) == ("print", "\n")


async def test_a_model_that_cannot_be_used_is_an_error_each_time() -> None:
    subject = session(FakeBackend(error=ModelNotFound("there is no model")))
    for _ in range(2):
        with pytest.raises(ModelNotFound):
            await subject.complete(START)


@in_virtual_time
async def test_a_failure_that_no_request_waits_for_does_not_fail_the_next_one() -> None:
    typist = Typist(ScriptedBackend(), "x = ")
    asking = await typist.asked()
    await typist.backend.last.write("1\n")
    assert text_of(asking) == "1"
    await typist.backend.last.fail(ModelNotFound("gone"))
    typist.type("2")
    asking = await typist.asked()
    await typist.backend.last.write("3")
    await typist.backend.last.finish()
    assert text_of(asking) == "3"


async def test_a_huge_file_makes_a_small_request() -> None:
    backend = FakeBackend()
    await session(backend, "line\n" * 200_000).complete(Position(100_000, 0))
    [request] = backend.requests
    assert PREFIX_CHARACTERS <= len(request.prefix) < 2 * PREFIX_CHARACTERS
    assert len(request.suffix) == SUFFIX_CHARACTERS


async def test_a_surrogate_on_its_own_does_not_reach_the_model() -> None:
    backend = FakeBackend()
    await session(backend, "a\ud83d\nb").complete(Position(1, 0))
    assert backend.requests[0].prefix == "a?\n"


async def test_a_key_that_is_typed_through_takes_less_than_2_milliseconds() -> None:
    text = "".join(f"line_{number} = {number}\n" for number in range(10_000))
    backend = FakeBackend("value_of_a_long_name_that_is_typed(1)")
    subject = session(backend, text)
    line = 5_000
    where = Position(line, 0)
    subject.edit([Edit("x = \n", Range(where, where))], 2)
    await subject.complete(Position(line, 4))
    took = []
    for number, character in enumerate("value_of_a_long_name"):
        here = Position(line, 4 + number)
        started = time.perf_counter()
        subject.edit([Edit(character, Range(here, here))], 3 + number)
        answer = await subject.complete(Position(line, 5 + number))
        took.append(time.perf_counter() - started)
        assert answer is not None
        assert answer.source == "memory"
    assert sorted(took)[len(took) // 2] < 0.002
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", ""),
        ("javascript", " \n\n"),
        ("plaintext", ""),
        ("git-commit", "\n# Please enter the message\n"),
    ],
)
async def test_a_blank_document_gets_nothing_unless_the_user_asks(language: str, text: str) -> None:
    backend = FakeBackend("# Copyright")
    subject = session(backend, text)
    subject.document.language = language
    answer = await subject.complete(START)
    assert answer is not None
    assert texts(answer) == [""]
    assert not backend.requests
    await subject.complete(START, invoked=True)
    assert backend.requests
