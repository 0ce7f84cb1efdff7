"""A typing session: a file is typed as in an editor, passage by passage, key by key, and comes out exact.

Brackets and quotes are closed by the editor and typed over, Enter indents, letters slip and are corrected,
the cursor jumps from passage to passage, and ghost text that says what is to be typed is accepted. Nothing
here waits, or looks at a clock: times are seconds from a start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from lsp_server.bench.typist.keys import Action, Press, Progress, Typist
from lsp_server.bench.typist.passages import Passage, choose
from lsp_server.bench.typist.rhythm import Interval, Rhythm

NOTICED_SECONDS: Final = 0.25
"""How long ghost text has to stand before a typist reacts to it: a simple visual reaction."""

SHORTEST_ACCEPTED: Final = 4
"""Fewer characters than this are typed, not accepted."""


@dataclass(frozen=True)
class Edit:
    """The characters from `start` up to `end` of the text make room for `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Keystroke:
    """A key: when it is pressed, what it changes (None: only the cursor moves), where the cursor is then."""

    at: float
    action: Action
    edit: Edit | None
    cursor: int


@dataclass(frozen=True)
class Ghost:
    """What is shown at the cursor, and since when; it `replaces` so many characters after the cursor."""

    text: str
    shown_at: float
    replaces: int = 0


class TypingSession:
    """Types passages of `target`, and in the end has exactly that.

    Ask `due`, wait until then, and `press`. `text` and `cursor` are the document as it is.

    Args:
        target: the file as it will be.
        seed: fixes passages, rhythm and slips.
        characters: about how many are typed, or accepted; None types the whole file into an empty one.
        accepts: whether ghost text that is right is accepted.
    """

    def __init__(
        self, target: str, seed: int = 0, *, characters: int | None = None, accepts: bool = True
    ) -> None:
        whole = [Passage(0, len(target))]
        passages = whole if characters is None else choose(target, characters, seed)
        self._target = target
        self._accepts = accepts
        self._typist = Typist(target, Rhythm(seed))
        self._ahead = deque(passages)
        self._missing = list(passages)
        self._all = self._left = sum(passage.length for passage in passages)
        self._progress: Progress | None = None
        self._presses: deque[Press] = deque()
        self._now = 0.0
        self.text = _without(target, passages)
        self.cursor = 0
        self._plan()

    @property
    def due(self) -> float | None:
        """When the next key is pressed; None when all is typed."""
        return self._now + self._presses[0].pause if self._presses else None

    @property
    def share(self) -> float:
        """How much of what is to be typed is there, from 0 to 1."""
        return 1 - self._left / self._all if self._all else 1.0

    def press(self, ghost: Ghost | None = None) -> Keystroke:
        """Press the key that is due, or the one that accepts `ghost` if it stands there and is right."""
        press = self._presses.popleft()
        self._now += press.pause
        accepted = self._accepted(ghost) if ghost is not None and self._accepts else None
        if accepted is not None:
            press = accepted
            self._presses.clear()
        key = self._apply(press)
        self._progress = press.progress
        if self._progress is not None:
            self._left = self._progress.end - self._progress.at + sum(each.length for each in self._missing)
        if not self._presses:
            self._plan("after accept" if press is accepted else None)
        return key

    def _apply(self, press: Press) -> Keystroke:
        if press.action == "move" and press.to is not None:
            self.cursor = press.to
            return Keystroke(self._now, "move", None, self.cursor)
        start, end = self.cursor - press.back, self.cursor + press.ahead
        inserted = press.typed + press.closed
        edit = Edit(start, end, inserted) if inserted or end > start else None
        self.text = self.text[:start] + inserted + self.text[end:]
        self.cursor = start + len(press.typed) + press.skip
        return Keystroke(self._now, press.action, edit, self.cursor)

    def _accepted(self, ghost: Ghost) -> Press | None:
        """The key that accepts all of `ghost`, or its first line; None where neither is right."""
        progress = self._progress
        if progress is None or self._now - ghost.shown_at < NOTICED_SECONDS:
            return None
        first_line, newline, _ = ghost.text.partition("\n")
        for text in (ghost.text, first_line) if newline and not ghost.replaces else (ghost.text,):
            after = progress.after(self._target, text, ghost.replaces)
            if after is not None and len(text.strip()) >= SHORTEST_ACCEPTED:
                return Press(0.0, "accept", typed=text, ahead=ghost.replaces, progress=after)
        return None

    def _plan(self, first: Interval | None = None) -> None:
        """Decide which keys come next; `first` is another pause before the first of them."""
        if self._progress is not None and self._progress.at == self._progress.end:
            self._progress = None
        if self._progress is None:
            self._jump()
            return
        before = self.text[self.cursor - 1 : self.cursor]
        after = self.text[self.cursor : self.cursor + 1]
        self._presses.extend(self._typist.keys(self._progress, before, after, first))

    def _jump(self) -> None:
        """Go to the next passage, if there is one."""
        if not self._ahead:
            return
        passage = self._ahead.popleft()
        self._missing.remove(passage)
        gone = sum(other.length for other in self._missing if other.start < passage.start)
        progress = Progress(passage.start, passage.end, ())
        pause = self._typist.rhythm.pause("jump", str(passage.start))
        self._presses.append(Press(pause, "move", to=passage.start - gone, progress=progress))


def _without(text: str, passages: list[Passage]) -> str:
    kept, at = [], 0
    for passage in sorted(passages, key=lambda passage: passage.start):
        kept.append(text[at : passage.start])
        at = passage.end
    return "".join([*kept, text[at:]])
