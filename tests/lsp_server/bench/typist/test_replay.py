"""A session played to an assistant: keys do not wait, and what is shown when is noted."""

from __future__ import annotations

import asyncio
from itertools import count

from lsp_server.bench.typist import (
    GhostText,
    Keystroke,
    TypedKey,
    TypingSession,
    Watch,
    replay,
    summarize,
)
from lsp_server.bench.typist.session import Edit

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

    async def wait_idle(self) -> None:
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
    summary = summarize(watch.keys, watch.usage)
    assert summary.accepts >= 1
    assert summary.accepted_share > 0.5


async def test_an_assistant_that_is_too_slow_is_typed_over() -> None:
    watch = Watch()
    session = TypingSession("ab", seed=171, accepts=False)  # a quick one
    await replay(session, Oracle(watch, silent=True), watch, skip_idle=True, last_answer_seconds=0.01)
    assert session.text == "ab"
    assert [key.answered for key in watch.keys] == [None] * len(watch.keys)
    assert all(key.at > key.key.at - 0.01 for key in watch.keys)  # not before they are due


def test_ghost_text_that_is_typed_into_has_stood_there_all_along() -> None:
    ticks = count()
    watch = Watch(clock=lambda: float(next(ticks)))
    watch.pressed(Keystroke(0.0, "move", None, 0))
    watch.show("add(1)")
    shown_at = watch.ghost.shown_at if watch.ghost else None
    watch.pressed(Keystroke(1.0, "type", Edit(0, 0, "a"), 1))
    assert watch.ghost is None
    watch.show("dd(1)")
    assert watch.ghost == GhostText("dd(1)", shown_at or 0.0)
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
