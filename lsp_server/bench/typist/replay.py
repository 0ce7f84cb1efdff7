"""Plays a typing session to whoever completes it, at the typist's pace, and notes what is shown when.

An `Assistant` is told each key of the `TypingSession` and says to a `Watch` what it shows; the session looks
at that when it decides whether to accept. Keys come when they are due, however far the assistant is: one that
computes too long is typed over, as in an editor. Where it has nothing left to do before the next key, the
wait can be left out; no time that is reported contains such a wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from lsp_server.bench.typist.session import Ghost, Keystroke, TypingSession
from model_runtime.api import Usage

LONGEST_WAIT = 10.0
"""Seconds that are waited for the answer to the last key."""


class Assistant(Protocol):
    """Who completes: is told of every key, and says to its `Watch` what it shows."""

    def opened(self, text: str) -> None:
        """The editor has opened the document."""
        ...

    def pressed(self, key: Keystroke, text: str) -> None:
        """A key was pressed; `text` is the document now. Returns at once; only the newest key counts."""
        ...

    async def settled(self) -> None:
        """Wait until nothing is running and nothing is about to be."""
        ...

    async def close(self) -> None:
        """End what is running: nobody types any more."""
        ...


@dataclass
class TypedKey:
    """A key and what came of it; times are seconds of the session's clock, None for what never came.

    `answered` is when the assistant was done with it; a key that another one overtook has none.
    """

    key: Keystroke
    at: float
    first_text: float | None = None
    first_line: float | None = None
    answered: float | None = None


class Watch:
    """What is on the typist's screen, and when it got there.

    `usage` is all that was computed meanwhile, seen or not, as far as the assistant tells.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.keys: list[TypedKey] = []
        self.ghost: Ghost | None = None
        self.skipped = 0.0
        self.usage = Usage()
        self._before: Ghost | None = None
        self._clock = clock
        self._started = clock()

    @property
    def now(self) -> float:
        """Seconds since the session began, and those that were left out."""
        return self._clock() - self._started + self.skipped

    def pressed(self, key: Keystroke) -> None:
        """A key was pressed: ghost text is gone until it is shown again."""
        self.keys.append(TypedKey(key, self.now))
        if self.ghost is not None:
            self._before = self.ghost
        self.ghost = None

    def show(self, text: str, replaces: int = 0) -> None:
        """Ghost text for the newest key is there; it `replaces` so many characters after the cursor."""
        key, now = self.keys[-1], self.now
        if not text:
            self.ghost = None
            return
        if key.first_text is None:
            key.first_text = now
        if key.first_line is None and "\n" in text:
            key.first_line = now
        self.ghost = Ghost(text, self._seen_since(text, now), replaces)

    def computed(self, usage: Usage) -> None:
        """The assistant has learnt what something has cost."""
        self.usage += usage

    def answered(self) -> None:
        """The newest key has its answer: what is shown is all there will be."""
        key = self.keys[-1]
        key.answered = self.now
        if key.first_line is None and key.first_text is not None:
            key.first_line = key.answered

    def _seen_since(self, text: str, now: float) -> float:
        """Since when `text` stands there: text that is typed into only loses its beginning."""
        if self.ghost is not None:
            return self.ghost.shown_at
        edit = self.keys[-1].key.edit
        typed = edit.text if edit is not None else ""
        before = self._before
        if before is not None and typed and (typed + text).startswith(before.text):
            return before.shown_at
        return now


async def replay(
    session: TypingSession,
    assistant: Assistant,
    watch: Watch,
    *,
    skip_idle: bool,
    patience: float = LONGEST_WAIT,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Type `session` to its end; `watch.keys` is what came of it.

    Args:
        session: is typed.
        assistant: completes it, and tells `watch`.
        watch: has the clock.
        skip_idle: whether the next key comes at once when the assistant has nothing left to do.
        patience: how many seconds the answer to the last key may take.
        progress: is told the share that is typed.
    """
    assistant.opened(session.text)
    try:
        while session.due is not None:
            await _until(session.due, assistant, watch, skip_idle)
            key = session.press(watch.ghost)
            watch.pressed(key)
            assistant.pressed(key, session.text)
            progress(session.share)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(assistant.settled(), patience)
    finally:
        await assistant.close()


async def _until(due: float, assistant: Assistant, watch: Watch, skip_idle: bool) -> None:
    """Wait for the moment `due`, or make it now where nobody would notice."""
    left = due - watch.now
    if not skip_idle or left <= 0:
        await asyncio.sleep(max(0.0, left))
        return
    try:
        await asyncio.wait_for(assistant.settled(), left)
    except asyncio.TimeoutError:
        return
    watch.skipped += max(0.0, due - watch.now)
