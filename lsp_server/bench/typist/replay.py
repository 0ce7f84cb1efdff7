"""Replays a typing session in real time and records when ghost text is shown.

An `Assistant` gets each key of a `TypingSession` and reports the ghost text to a `Watch`; the session uses
that to decide whether to accept it. Keys are pressed on time, even if the assistant is still computing, as in
an editor. If the assistant is idle before the next key, the wait can be skipped; reported times do not
include skipped waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from lsp_server.bench.typist.session import GhostText, Keystroke, TypingSession
from model_runtime.api import Usage

LAST_ANSWER_SECONDS = 10.0
"""Maximum time to wait for the answer to the last key, in seconds."""


class Assistant(Protocol):
    """Completes what is typed: it gets every key, and reports ghost text to its `Watch`."""

    def opened(self, text: str) -> None:
        """The editor has opened the document."""
        ...

    def pressed(self, key: Keystroke, text: str) -> None:
        """A key was pressed; `text` is the document after it. Returns at once and supersedes earlier keys."""
        ...

    async def wait_idle(self) -> None:
        """Wait until nothing is running or scheduled."""
        ...

    async def close(self) -> None:
        """End all running work, since the session is over."""
        ...


@dataclass
class TypedKey:
    """A key and when text was shown after it, in seconds on the session's clock; None for never.

    `answered` is when the final answer came; None if the next key superseded the request.
    """

    key: Keystroke
    at: float
    first_text: float | None = None
    first_line: float | None = None
    answered: float | None = None


class Watch:
    """Records the ghost text on the screen, and when it was shown.

    `usage` is the total that the assistant has reported, whether or not the result was shown.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.keys: list[TypedKey] = []
        self.ghost: GhostText | None = None
        self.skipped = 0.0
        self.usage = Usage()
        self._before: GhostText | None = None
        self._clock = clock
        self._started = clock()

    @property
    def now(self) -> float:
        """Seconds since the session began, including skipped ones."""
        return self._clock() - self._started + self.skipped

    def pressed(self, key: Keystroke) -> None:
        """A key was pressed, which hides ghost text until it is shown again."""
        self.keys.append(TypedKey(key, self.now))
        if self.ghost is not None:
            self._before = self.ghost
        self.ghost = None

    def show(self, text: str, replaces: int = 0) -> None:
        """Ghost text is shown for the newest key; it replaces `replaces` characters after the cursor."""
        key, now = self.keys[-1], self.now
        if not text:
            self.ghost = None
            return
        if key.first_text is None:
            key.first_text = now
        if key.first_line is None and "\n" in text:
            key.first_line = now
        self.ghost = GhostText(text, self._seen_since(text, now), replaces)

    def computed(self, usage: Usage) -> None:
        """Add the usage of a completion."""
        self.usage += usage

    def answered(self) -> None:
        """The newest key has its final answer."""
        key = self.keys[-1]
        key.answered = self.now
        if key.first_line is None and key.first_text is not None:
            key.first_line = key.answered

    def _seen_since(self, text: str, now: float) -> float:
        """When `text` was first shown, perhaps as part of a longer text whose beginning was typed since."""
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
    last_answer_seconds: float = LAST_ANSWER_SECONDS,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Type `session` to its end; the result is in `watch.keys`.

    Args:
        session: the keys to press.
        assistant: completes what is typed, and reports to `watch`.
        watch: records what is shown.
        skip_idle: whether to skip the rest of a pause when the assistant is idle.
        last_answer_seconds: maximum time to wait for the answer to the last key.
        progress: called with the share that is typed, from 0 to 1.
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
            await asyncio.wait_for(assistant.wait_idle(), last_answer_seconds)
    finally:
        await assistant.close()


async def _until(due: float, assistant: Assistant, watch: Watch, skip_idle: bool) -> None:
    """Wait until `due`; with `skip_idle`, skip the time after the assistant has become idle."""
    left = due - watch.now
    if not skip_idle or left <= 0:
        await asyncio.sleep(max(0.0, left))
        return
    try:
        await asyncio.wait_for(assistant.wait_idle(), left)
    except asyncio.TimeoutError:
        return
    watch.skipped += max(0.0, due - watch.now)
