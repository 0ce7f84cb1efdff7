"""The completions of one open document: from a cursor to the suggestions that are shown there.

A session answers one request at a time, the newest. A cached suggestion that is valid at the cursor is the
answer at once, one that is being generated is waited for, and only where there is none the model is asked. So
what the model writes outlives the request that began it for as long as the user types the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from lsp_server.completion.cursor_text import CursorText, model_text
from lsp_server.completion.suggester import Deadline, SessionServices, Suggester
from lsp_server.document import Document, Edit, Position, Selection
from lsp_server.trimming import Piece
from model_runtime.api import Usage

MAX_CANDIDATES: Final = 3
"""Maximum number of different completions for a user who asks for them."""

_MAX_SAMPLES: Final = 5  # drawn to find candidates that differ
_SAMPLING_TEMPERATURE: Final = 0.8  # where the settings say greedy


@dataclass(frozen=True)
class Suggestion:
    """A piece to show. What remains of it after the next key is the same suggestion, with the same id."""

    id: str
    piece: Piece


@dataclass(frozen=True)
class Answer:
    """The suggestions at a cursor, the likeliest first; a piece without text says that there is none.

    `usage` is what was computed for the document since the last answer, if the backend counts; None where the
    answer came from memory.
    """

    cursor_text: CursorText
    suggestions: tuple[Suggestion, ...]
    source: Literal["memory", "model"]
    usage: Usage | None


Show = Callable[[Answer], None]


class Superseded(Exception):
    """A newer request of the document has taken this one's place."""


class PendingRequest:
    """A request while it is the newest of its document. `waited` says that it had to wait at all."""

    def __init__(self) -> None:
        self.waited = False
        self._error: BaseException | None = None
        self._over = False
        self._changed = asyncio.Event()
        self._deadline: Deadline | None = None

    def new_deadline(self, budget_ms: float | None) -> Deadline:
        """A deadline for what is asked of the model next, in place of the one before."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = Deadline(budget_ms, self.wake)
        return self._deadline

    def wake(self, error: BaseException | None = None) -> None:
        """Something has changed, or what the request waits for has failed with `error`."""
        self._error = error or self._error
        self._changed.set()

    def end(self) -> None:
        """Another request has come, or this one is answered."""
        self._over = True
        self._changed.set()
        if self._deadline is not None:
            self._deadline.cancel()

    async def changed(self) -> None:
        """Wait until something has changed.

        Raises:
            Superseded: the request is over.
            BaseException: what it waits for has failed.
        """
        self.waited = True
        await self._changed.wait()
        self._changed.clear()
        if self._over:
            raise Superseded
        if self._error is not None:
            raise self._error

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until something has changed.

        Raises:
            Superseded: the request is over.
        """
        timer = asyncio.get_running_loop().call_later(seconds, self.wake)
        try:
            await self.changed()
        finally:
            timer.cancel()


class Session:
    """The completions of one open document, of which the newest request wins."""

    def __init__(self, document: Document, services: SessionServices) -> None:
        self.document = document
        self._services = services
        self._suggester = Suggester(document, services, self._suggestion_changed)
        self._pending: PendingRequest | None = None

    async def complete(
        self,
        position: Position,
        selection: Selection | None = None,
        *,
        invoked: bool = False,
        show: Show | None = None,
    ) -> Answer | None:
        """The suggestions at `position`, or None where a newer request has taken this one's place.

        A `selection` in the editor's pop-up counts as accepted. A user who has `invoked` the completion gets
        several candidates; nobody else gets any in a blank document. `show` is called with the first one each
        time it has grown, as the answer so far. Whoever sees it grow is answered when it is whole, everybody
        else once the latency budget is spent and a piece of it is whole.

        Raises:
            BackendError: the model cannot be used.
        """
        cursor = CursorText.at(self.document, position, selection)
        if self._pending is not None:
            self._pending.end()
        if not invoked and cursor.is_blank(self.document.language):
            self._suggester.cancel()
            return Answer(cursor, (Suggestion("", Piece("")),), "memory", None)
        cursor = replace(cursor, snippets=self._services.context.snippets(self.document, position))
        request = self._pending = PendingRequest()
        try:
            first = await self._likeliest(request, cursor, show, pauses=not invoked)
            suggestions = await self._candidates(request, cursor, first) if invoked else (first,)
        except Superseded:
            return None
        except asyncio.CancelledError:
            if self._pending is request:
                self._suggester.cancel_unless_reclaimed()
            raise
        finally:
            request.end()
            if self._pending is request:
                self._pending = None
        if request.waited:
            return Answer(cursor, suggestions, "model", self._suggester.take_usage())
        return Answer(cursor, suggestions, "memory", None)

    def edit(self, edits: Sequence[Edit], version: int) -> None:
        """Apply the editor's changes."""
        end = None
        for change in edits:
            end = self.document.replace(change.text, change.where)
            self._services.context.changed(self.document, change.where)
        self.document.version = version
        self._services.debounce.key(_now())
        if end is not None and len(edits) == 1:
            self._services.on_insert(self.document, model_text(edits[0].text), end)

    def prefetch(self, cursor: CursorText) -> None:
        """A suggestion was accepted up to `cursor`: generate what follows, unless a request waits already."""
        if self._pending is not None:
            return
        suggestion = self._suggester.suggestion_at(cursor)
        if suggestion.model_stopped and suggestion.piece_at(cursor) == Piece(""):
            self._suggester.suggestion_at(cursor.on_next_line())

    def cancel_background(self) -> None:
        """The user works in another document: cancel what is being generated, unless a request waits."""
        if self._pending is None:
            self._suggester.cancel()

    def clear_cache(self) -> None:
        """Drop all suggestions: they are another model's, or were made with other settings."""
        self._suggester.clear()
        if self._pending is not None:
            self._pending.wake()

    def close(self) -> None:
        """End all that runs; a request that waits is answered with None."""
        if self._pending is not None:
            self._pending.end()
        self._suggester.cancel()

    async def wait_closed(self) -> None:
        """Wait, after `close`, until the model is free."""
        await self._suggester.wait_cancelled()

    async def _likeliest(
        self, request: PendingRequest, cursor: CursorText, show: Show | None, *, pauses: bool
    ) -> Suggestion:
        """The likeliest completion; with `pauses`, a slow model is asked once the user seems to pause."""
        if not self._suggester.has_suggestion(cursor):
            self._suggester.cancel()
            if pauses and (delay := self._services.debounce.delay()):
                await request.pause(delay)
        deadline = request.new_deadline(self._services.settings.latency_budget_ms)
        shown = ""
        while True:
            suggestion = self._suggester.suggestion_at(cursor, deadline)
            piece = suggestion.piece_at(cursor)
            if not suggestion.done:
                if show and piece and piece.text.strip() and piece.text != shown:
                    shown = piece.text
                    show(Answer(cursor, (Suggestion(suggestion.id, piece),), "model", None))
                enough = not show and (suggestion.partly_shown or deadline.is_past)
                piece = suggestion.whole_piece_at(cursor) if enough else None
            if piece is not None:
                suggestion.partly_shown = True
                if request.waited and deadline.started is not None:
                    self._services.debounce.answered(_now() - deadline.started)
                return Suggestion(suggestion.id, piece)
            await request.changed()

    async def _candidates(
        self, request: PendingRequest, cursor: CursorText, first: Suggestion
    ) -> tuple[Suggestion, ...]:
        """`first` and samples that differ from it, as many as are shown."""
        found = {first.piece.text.strip(): first} if first.piece.text.strip() else {}
        for seed in range(1, _MAX_SAMPLES + 1):
            if len(found) == MAX_CANDIDATES:
                break
            deadline = request.new_deadline(self._services.settings.latency_budget_ms)
            sample = self._suggester.sample(cursor, seed, _SAMPLING_TEMPERATURE, deadline)
            while not self._suggester.is_finished(sample) and not deadline.is_past:
                await request.changed()
            piece = sample.piece_at(cursor) if sample.done else sample.whole_piece_at(cursor)
            if piece and piece.text.strip() and piece.text.strip() not in found:
                found[piece.text.strip()] = Suggestion(sample.id, piece)
                self._suggester.keep_sample(sample)
        self._suggester.cancel()
        return tuple(found.values()) or (first,)

    def _suggestion_changed(self, error: BaseException | None) -> None:
        if self._pending is not None:
            self._pending.wake(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
