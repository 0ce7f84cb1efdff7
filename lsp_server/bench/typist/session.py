"""A simulated typing session: types a file passage by passage, key by key, as in an editor.

The session includes auto-closed brackets and quotes, auto-indentation, typos and corrections, jumps between
passages, and accepted ghost text where that matches the file. Nothing here waits or reads a clock: times are
in seconds since the session's start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from lsp_server.bench.typist.keys import Action, PlannedKey, Progress, Typist
from lsp_server.bench.typist.passages import Passage, choose_passages
from lsp_server.bench.typist.rhythm import Interval, Rhythm

REACTION_SECONDS: Final = 0.25
"""How long ghost text has to be shown before the typist reacts to it: a simple visual reaction time."""

MIN_ACCEPTED_CHARACTERS: Final = 4
"""Shorter ghost text is not accepted but typed."""


@dataclass(frozen=True)
class Edit:
    """Replaces the characters of the document from `start` up to `end` by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Keystroke:
    """A key press: its time, its `edit` (None if only the cursor moves) and the cursor after it."""

    at: float
    action: Action
    edit: Edit | None
    cursor: int


@dataclass(frozen=True)
class GhostText:
    """Ghost text at the cursor since `shown_at`; it replaces `replaces` characters after the cursor."""

    text: str
    shown_at: float
    replaces: int = 0


class TypingSession:
    """Types passages of `target`; at the end, `text` equals `target`.

    To run it, repeatedly wait until `due` and call `press`. `text` and `cursor` are the document's current
    state.

    Args:
        target: the content of the finished file.
        seed: determines passages, intervals and typos.
        characters: about how many are typed or accepted; None types the whole file into an empty one.
        accepts: whether correct ghost text is accepted.
    """

    def __init__(
        self, target: str, seed: int = 0, *, characters: int | None = None, accepts: bool = True
    ) -> None:
        whole = [Passage(0, len(target))]
        passages = whole if characters is None else choose_passages(target, characters, seed)
        self._target = target
        self._accepts = accepts
        self._typist = Typist(target, Rhythm(seed))
        self._pending = deque(passages)
        self._untyped = list(passages)
        self._all = self._left = sum(passage.length for passage in passages)
        self._progress: Progress | None = None
        self._presses: deque[PlannedKey] = deque()
        self._now = 0.0
        self.text = _without_passages(target, passages)
        self.cursor = 0
        self._plan()

    @property
    def due(self) -> float | None:
        """When the next key is pressed; None when everything is typed."""
        return self._now + self._presses[0].pause if self._presses else None

    @property
    def share(self) -> float:
        """The share of the passages that is typed, from 0 to 1."""
        return 1 - self._left / self._all if self._all else 1.0

    def press(self, ghost: GhostText | None = None) -> Keystroke:
        """Press the key that is due, or instead the key that accepts `ghost` if that is correct."""
        press = self._presses.popleft()
        self._now += press.pause
        accepted = self._accepted(ghost) if ghost is not None and self._accepts else None
        if accepted is not None:
            press = accepted
            self._presses.clear()
        key = self._apply(press)
        self._progress = press.progress
        if self._progress is not None:
            self._left = self._progress.end - self._progress.at + sum(each.length for each in self._untyped)
        if not self._presses:
            self._plan("after accept" if press is accepted else None)
        return key

    def _apply(self, press: PlannedKey) -> Keystroke:
        if press.action == "move" and press.to is not None:
            self.cursor = press.to
            return Keystroke(self._now, "move", None, self.cursor)
        start, end = self.cursor - press.back, self.cursor + press.ahead
        inserted = press.typed + press.closed
        edit = Edit(start, end, inserted) if inserted or end > start else None
        self.text = self.text[:start] + inserted + self.text[end:]
        self.cursor = start + len(press.typed) + press.skip
        return Keystroke(self._now, press.action, edit, self.cursor)

    def _accepted(self, ghost: GhostText) -> PlannedKey | None:
        """The key that accepts all of `ghost` or its first line; None if neither is correct."""
        progress = self._progress
        if progress is None or self._now - ghost.shown_at < REACTION_SECONDS:
            return None
        first_line, newline, _ = ghost.text.partition("\n")
        for text in (ghost.text, first_line) if newline and not ghost.replaces else (ghost.text,):
            after = progress.after(self._target, text, ghost.replaces)
            if after is not None and len(text.strip()) >= MIN_ACCEPTED_CHARACTERS:
                return PlannedKey(0.0, "accept", typed=text, ahead=ghost.replaces, progress=after)
        return None

    def _plan(self, first: Interval | None = None) -> None:
        """Plan the next keys; `first` overrides the kind of pause before the first one."""
        if self._progress is not None and self._progress.at == self._progress.end:
            self._progress = None
        if self._progress is None:
            self._jump()
            return
        before = self.text[self.cursor - 1 : self.cursor]
        after = self.text[self.cursor : self.cursor + 1]
        self._presses.extend(self._typist.keys(self._progress, before, after, first))

    def _jump(self) -> None:
        """Plan the jump to the next passage, if there is one."""
        if not self._pending:
            return
        passage = self._pending.popleft()
        self._untyped.remove(passage)
        gone = sum(other.length for other in self._untyped if other.start < passage.start)
        progress = Progress(passage.start, passage.end, ())
        pause = self._typist.rhythm.pause("jump", str(passage.start))
        self._presses.append(PlannedKey(pause, "move", to=passage.start - gone, progress=progress))


def _without_passages(text: str, passages: list[Passage]) -> str:
    kept, at = [], 0
    for passage in sorted(passages, key=lambda passage: passage.start):
        kept.append(text[at : passage.start])
        at = passage.end
    return "".join([*kept, text[at:]])
