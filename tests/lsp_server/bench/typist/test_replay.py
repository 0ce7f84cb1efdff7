"""A session played to an assistant: keys do not wait, and what is shown when is noted."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from lsp_server.bench.typist import (
    BackendAssistant,
    Ghost,
    Keystroke,
    TypedKey,
    TypingSession,
    Watch,
    replay,
    summarize,
)
from lsp_server.bench.typist.session import Edit
from lsp_server.settings import Settings
from model_runtime.api import BackendError
from tests.lsp_server.fakes import USAGE, FakeBackend

TEXT = "total = add(1, 2)\n"


class Oracle:
    """Knows the text, and shows at once what comes next; never shows anything while `silent`."""

    def __init__(self, watch: Watch, *, silent: bool = False) -> None:
        self.watch = watch
        self.silent = silent
        self.texts: list[str] = []
        self.closed = False

    def opened(self, text: str) -> None:
        self.texts.append(text)

    def pressed(self, key: Keystroke, text: str) -> None:
        self.texts.append(text)
        if not self.silent:
            self.watch.show(TEXT[key.cursor :])
            self.watch.answered()

    async def settled(self) -> None:
        if self.silent:
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


async def test_where_nothing_is_computed_no_time_is_spent_on_waiting() -> None:
    watch = Watch()
    assistant = Oracle(watch)
    begun = asyncio.get_running_loop().time()
    await replay(TypingSession(TEXT, accepts=False), assistant, watch, skip_idle=True)
    assert asyncio.get_running_loop().time() - begun < 1
    assert watch.now > 3  # of the session's own clock
    assert assistant.texts[-1] == TEXT
    assert assistant.closed


async def test_what_is_noticed_and_right_is_accepted() -> None:
    watch = Watch()
    await replay(TypingSession(TEXT), Oracle(watch), watch, skip_idle=True)
    summary = summarize(watch.keys)
    assert summary.accepts >= 1
    assert summary.accepted_share > 0.5


async def test_an_assistant_that_is_too_slow_is_typed_over() -> None:
    watch = Watch()
    session = TypingSession("ab", seed=171, accepts=False)  # a quick one
    await replay(session, Oracle(watch, silent=True), watch, skip_idle=True, patience=0.01)
    assert session.text == "ab"
    assert [key.answered for key in watch.keys] == [None] * len(watch.keys)
    assert all(key.at > key.key.at - 0.01 for key in watch.keys)  # not before they are due


async def test_a_backend_is_asked_at_every_key_and_its_text_is_trimmed() -> None:
    backend, watch = FakeBackend("1, 2", ")\nmore"), Watch()
    assistant = BackendAssistant(backend, watch, Settings(), language="python", uri="file:///a.py")
    await replay(TypingSession(TEXT, accepts=False), assistant, watch, skip_idle=True)
    assert len(backend.requests) == len(watch.keys) == len(backend.closed)
    assert {request.session for request in backend.requests} == {"file:///a.py"}
    assert backend.requests[-1].prefix == TEXT
    assert all(key.usage in (USAGE, None) for key in watch.keys)
    assert watch.keys[-1].first_text is not None


async def test_a_request_that_the_next_key_overtakes_is_closed() -> None:
    backend, watch = FakeBackend("x"), Watch()
    backend.may_finish.clear()
    assistant = BackendAssistant(backend, watch, Settings())
    assistant.opened("")
    for number, letter in enumerate("ab"):
        watch.pressed(Keystroke(0.0, "type", Edit(number, number, letter), number + 1))
        assistant.pressed(watch.keys[-1].key, "ab"[: number + 1])
        await backend.waiting.wait()
        backend.waiting.clear()
    assert [request.prefix for request in backend.requests] == ["a", "ab"]
    assert [request.prefix for request in backend.closed] == ["a"]
    backend.may_finish.set()
    await assistant.settled()
    assert (watch.keys[0].answered, watch.keys[1].answered is None) == (None, False)


async def test_a_backend_that_fails_ends_the_replay_with_its_message() -> None:
    watch = Watch()
    assistant = BackendAssistant(FakeBackend(error=BackendError("no such model")), watch, Settings())
    with pytest.raises(BackendError, match="no such model"):
        await replay(TypingSession(TEXT), assistant, watch, skip_idle=True)


def test_ghost_text_that_is_typed_into_has_stood_there_all_along() -> None:
    ticks = count()
    watch = Watch(clock=lambda: float(next(ticks)))
    watch.pressed(Keystroke(0.0, "move", None, 0))
    watch.show("add(1)")
    shown_at = watch.ghost.shown_at if watch.ghost else None
    watch.pressed(Keystroke(1.0, "type", Edit(0, 0, "a"), 1))
    assert watch.ghost is None
    watch.show("dd(1)")
    assert watch.ghost == Ghost("dd(1)", shown_at or 0.0)
    watch.pressed(Keystroke(2.0, "type", Edit(1, 1, "n"), 2))
    watch.show("other")
    assert watch.ghost is not None
    assert watch.ghost.shown_at > watch.keys[-1].at


def test_a_line_is_there_when_it_has_ended() -> None:
    ticks = count()
    watch = Watch(clock=lambda: float(next(ticks)))
    watch.pressed(Keystroke(0.0, "move", None, 0))
    watch.show("one")
    watch.show("one\n")
    watch.answered()
    [key] = watch.keys
    assert isinstance(key, TypedKey)
    assert key.first_text is not None
    assert key.first_line is not None
    assert key.answered is not None
    assert key.at < key.first_text < key.first_line < key.answered


async def test_a_session_that_is_broken_off_closes_its_request() -> None:
    backend, watch = FakeBackend("x"), Watch()
    backend.may_finish.clear()
    assistant = BackendAssistant(backend, watch, Settings())
    typing = asyncio.get_running_loop().create_task(
        replay(TypingSession(TEXT), assistant, watch, skip_idle=True)
    )
    await backend.waiting.wait()
    typing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await typing
    assert backend.closed == backend.requests
