"""Plans the keys that a person presses to type a text in an editor, and their effect around the cursor.

The editor auto-closes brackets and quotes and auto-indents. The person types over closing characters, deletes
unwanted ones, and makes and corrects typos.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from lsp_server.bench.typist import pairs
from lsp_server.bench.typist.rhythm import Interval, Rhythm

Action = Literal["type", "erase", "move", "accept"]

_BLANKS: Final = re.compile(r"[ \t]*")


@dataclass(frozen=True)
class Closer:
    """Text that the editor has inserted after the cursor; in the target it ends at `end`."""

    text: str
    end: int

    @property
    def start(self) -> int:
        return self.end - len(self.text)


@dataclass(frozen=True)
class Progress:
    """How far a passage is typed: the target up to `at`; `closers` follow the cursor, nearest first."""

    at: int
    end: int
    closers: tuple[Closer, ...]

    def after(self, target: str, text: str, replaces: int) -> Progress | None:
        """The progress after `text` replaces `replaces` characters; None if that differs from the target."""
        at = self.at + len(text)
        if at > self.end or not target.startswith(text, self.at):
            return None
        left = tuple(closer for closer in self.closers if closer.start >= at)
        gone = self.closers[: len(self.closers) - len(left)]
        if any(closer.end > at for closer in gone) or sum(len(closer.text) for closer in gone) != replaces:
            return None
        return Progress(at, self.end, left)


@dataclass(frozen=True)
class PlannedKey:
    """A key and its effect around the cursor; `progress` is None while the text differs from the target."""

    pause: float
    action: Action
    typed: str = ""  # before the cursor
    closed: str = ""  # after it
    back: int = 0  # characters erased before the cursor
    ahead: int = 0  # … and after it
    skip: int = 0  # characters that the cursor moves over
    to: int | None = None  # offset that the cursor jumps to
    progress: Progress | None = None


class Typist:
    """Plans the keys for the next character of a text, or for a line break with its indentation."""

    def __init__(self, target: str, rhythm: Rhythm) -> None:
        self.rhythm = rhythm
        self._target = target
        self._closes = pairs.closers(target)
        self._indent = _indent_unit(target)

    def keys(
        self, progress: Progress, before: str, after: str, first: Interval | None
    ) -> Iterator[PlannedKey]:
        """The next keys at `progress`, between the characters `before` and `after` in the document."""
        target, at = self._target, progress.at
        pauses = self._pauses(at, first or self._interval(at, before))
        if progress.closers and progress.closers[0].start == at:
            closer, rest = progress.closers[0], progress.closers[1:]
            action: Action = "type" if len(closer.text) == 1 else "move"
            skipped = Progress(closer.end, progress.end, rest)
            yield PlannedKey(next(pauses), action, skip=len(closer.text), progress=skipped)
        elif target.startswith(("\n", "\r\n"), at):
            yield from self._enter(progress, pauses)
        elif at in self._closes and _would_close(target[at], before, after):
            yield from self._open(progress, pauses)
        else:
            yield from self._slip(progress, pauses)
            typed = Progress(at + 1, progress.end, progress.closers)
            yield PlannedKey(next(pauses), "type", typed=target[at], progress=typed)

    def _interval(self, at: int, before: str) -> Interval:
        """The kind of interval before the key at `at`, which follows the character `before`."""
        line_start = self._target.rfind("\n", 0, at) + 1
        if self._target[at] not in "\r\n" and not self._target[line_start:at].strip():
            return "line"
        return "letter" if self._target[at].isalpha() and before.isalpha() else "other"

    def _pauses(self, at: int, interval: Interval) -> Iterator[float]:
        """Pauses before the keys at `at`: the first one is an `interval`, the others are corrections."""
        for number in count():
            yield self.rhythm.pause("correction" if number else interval, f"{at}.{number}")

    def _open(self, progress: Progress, pauses: Iterator[float]) -> Iterator[PlannedKey]:
        """Type an opening bracket or quote, which the editor closes; delete the closer if it is unwanted."""
        opener, partner = self._target[progress.at], self._closes[progress.at]
        closer = pairs.CLOSER[opener]
        if partner is not None and partner < progress.end:
            opened = Progress(progress.at + 1, progress.end, (Closer(closer, partner + 1), *progress.closers))
            yield PlannedKey(next(pauses), "type", typed=opener, closed=closer, progress=opened)
        else:
            opened = Progress(progress.at + 1, progress.end, progress.closers)
            yield PlannedKey(next(pauses), "type", typed=opener, closed=closer)
            yield PlannedKey(next(pauses), "erase", ahead=1, progress=opened)

    def _slip(self, progress: Progress, pauses: Iterator[float]) -> Iterator[PlannedKey]:
        """Occasionally type a wrong letter, perhaps another letter, and erase them again."""
        target, at = self._target, progress.at
        wrong = self.rhythm.slip(target[at], str(at))
        if not wrong:
            return
        if self.rhythm.notices_late(str(at)) and target[at + 1 : at + 2].isalpha() and at + 1 < progress.end:
            wrong += target[at + 1]
        for letter in wrong:
            yield PlannedKey(next(pauses), "type", typed=letter)
        for _ in wrong:
            yield PlannedKey(next(pauses), "erase", back=1)

    def _enter(self, progress: Progress, pauses: Iterator[float]) -> Iterator[PlannedKey]:
        """Press Enter, after which the editor indents, then correct the indentation to the target's."""
        target, at = self._target, progress.at
        newline = "\r\n" if target.startswith("\r\n", at) else "\n"
        blanks = _BLANKS.match(target, at + len(newline), progress.end)
        wanted = blanks.group() if blanks else ""
        start = at + len(newline) + len(wanted)
        line_start = target.rfind("\n", 0, at) + 1
        indentation = _BLANKS.match(target, line_start, at)
        own = indentation.group() if indentation else ""
        closed, closers = self._spread(progress, newline + own)
        there = Progress(start, progress.end, closers)
        given = own + self._indent if target[line_start:at].rstrip().endswith((":", "(", "[", "{")) else own
        blank = target.startswith(("\n", "\r\n"), start)
        if blank or given == wanted or not (wanted.startswith(given) or given.startswith(wanted)):
            yield PlannedKey(next(pauses), "type", typed=newline + wanted, closed=closed, progress=there)
            return
        yield PlannedKey(next(pauses), "type", typed=newline + given, closed=closed)
        yield from self._indented(given, wanted, there, pauses)

    def _indented(
        self, given: str, wanted: str, there: Progress, pauses: Iterator[float]
    ) -> Iterator[PlannedKey]:
        """Change the indentation from `given` to `wanted` with tabs or backspaces."""
        unit = len(self._indent)
        while len(given) < len(wanted):
            more = wanted[len(given) : len(given) + unit]
            given += more
            yield PlannedKey(
                next(pauses), "type", typed=more, progress=there if len(given) == len(wanted) else None
            )
        while len(given) > len(wanted):
            fewer = min(unit, len(given) - len(wanted))
            given = given[:-fewer]
            yield PlannedKey(
                next(pauses), "erase", back=fewer, progress=there if len(given) == len(wanted) else None
            )

    def _spread(self, progress: Progress, line_end: str) -> tuple[str, tuple[Closer, ...]]:
        """Move the closing bracket to its own line when Enter is pressed between a pair, if the target does.

        Returns:
            The text that this inserts after the cursor, and all closers after that.
        """
        if progress.closers and self._closes.get(progress.at - 1) == progress.closers[0].end - 1:
            closer, rest = progress.closers[0], progress.closers[1:]
            spread = Closer(line_end + closer.text, closer.end)
            if spread.start > progress.at and self._target.startswith(spread.text, spread.start):
                return line_end, (spread, *rest)
        return "", progress.closers


def _would_close(opener: str, before: str, after: str) -> bool:
    """Whether an editor auto-closes `opener` between these characters."""
    if opener in "\"'" and before in "\"'" and before:
        return False
    return not after or after.isspace() or after in ")]}>\"'`,;:"


def _indent_unit(text: str) -> str:
    """One level of indentation in `text`: a tab, or the smallest indentation in spaces."""
    if re.search(r"^\t", text, re.MULTILINE):
        return "\t"
    widths = [len(found) for found in re.findall(r"^( {2,8})\S", text, re.MULTILINE)]
    return " " * min(widths, default=4)
