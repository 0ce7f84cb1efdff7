"""A document's completion life: from a cursor to the text that is shown there.

completing ▶ **session** ▶ {turn, writing, places, document}.

One request is answered at a time, the newest. It looks for an offer that holds at its place: one that is
remembered is the answer, one that is being written is waited for, and only where there is none the model is
asked. So what the model writes outlives the request that began it for as long as the user types the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from lsp_server.completion.cursor_text import Place, model_text, place_at
from lsp_server.completion.pending_request import PendingRequest, Superseded
from lsp_server.completion.suggester import Surroundings, Writing
from lsp_server.document import Document, Edit, Position, Selection
from lsp_server.trimming import Piece
from model_runtime.api import Usage

CANDIDATES: Final = 3
"""How many different completions a user who asks for them gets, at most."""

_TRIES: Final = 5  # samples drawn to find those that differ
_SAMPLING: Final = 0.8  # their temperature, where the settings say greedy


@dataclass(frozen=True)
class Suggestion:
    """A piece to show. What is left of it after the next key is the same suggestion, with the same id."""

    id: str
    piece: Piece


@dataclass(frozen=True)
class Answer:
    """What belongs at a place, the likeliest first; a piece without text says that nothing does.

    `usage` is what it has cost, as far as it is known, and None where it came from memory.
    """

    place: Place
    suggestions: tuple[Suggestion, ...]
    source: Literal["memory", "model"]
    usage: Usage | None


Show = Callable[[Answer], None]


class Session:
    """The completions of one open document, of which the newest wins."""

    def __init__(self, document: Document, surroundings: Surroundings) -> None:
        self.document = document
        self._surroundings = surroundings
        self._writing = Writing(document, surroundings, self._heard)
        self._turn: PendingRequest | None = None

    async def complete(
        self,
        position: Position,
        selection: Selection | None = None,
        *,
        invoked: bool = False,
        show: Show | None = None,
    ) -> Answer | None:
        """What belongs at `position`, or None where a newer request has taken this one's place.

        With a `selection`, that is what follows it. A user who has `invoked` it gets several candidates.
        `show` is called with the first one each time it has grown, as the answer so far; whoever sees it
        grow is answered when it is whole, everybody else when the latency budget is spent and a
        piece of it is whole.

        Raises:
            BackendError: the model cannot be used.
        """
        place = place_at(self.document, position, selection)
        place = replace(place, snippets=self._surroundings.context.snippets(self.document, position))
        if self._turn is not None:
            self._turn.end()
        turn = self._turn = PendingRequest()
        try:
            first = await self._first(turn, place, show, pauses=not invoked)
            several = await self._several(turn, place, first) if invoked else (first,)
        except Superseded:
            return None
        except asyncio.CancelledError:
            if self._turn is turn:
                self._writing.desert()
            raise
        finally:
            turn.end()
            if self._turn is turn:
                self._turn = None
        if turn.waited:
            return Answer(place, several, "model", self._writing.take_usage())
        return Answer(place, several, "memory", None)

    def edit(self, edits: Sequence[Edit], version: int) -> None:
        """Apply the editor's changes."""
        end = None
        for change in edits:
            end = self.document.replace(change.text, change.where)
            self._surroundings.context.changed(self.document, change.where)
        self.document.version = version
        self._surroundings.debounce.key(_now())
        if end is not None and len(edits) == 1:
            self._surroundings.inserted(self.document, model_text(edits[0].text), end)

    def accept(self, place: Place, piece: Piece) -> None:
        """The user has accepted `piece` at `place`: begin with what comes next, unless that is asked for."""
        if self._turn is None:
            place = place.after(piece)
            offer = self._writing.offer(place)
            if offer.ended and offer.at(place) == Piece(""):
                self._writing.offer(place.next_line())

    def rest(self) -> None:
        """The user works in another document: what nobody waits for here is ended."""
        if self._turn is None:
            self._writing.close()

    def forget(self) -> None:
        """Remember nothing: the model, or what is asked of it, is another one now."""
        self._writing.forget()
        if self._turn is not None:
            self._turn.wake()

    def close(self) -> None:
        """End all that runs; whoever waits for it gets None."""
        if self._turn is not None:
            self._turn.end()
        self._writing.close()

    async def ended(self) -> None:
        """Wait, once it is closed, until the model is free."""
        await self._writing.ended()

    async def _first(
        self, turn: PendingRequest, place: Place, show: Show | None, *, pauses: bool
    ) -> Suggestion:
        """The likeliest completion; with `pauses`, a slow model is not asked before the user makes one."""
        if not self._writing.known(place) and pauses and (delay := self._surroundings.debounce.delay()):
            await turn.pause(delay)
        deadline, shown = turn.deadline(self._surroundings.settings.latency_budget_ms), ""
        while True:
            offer = self._writing.offer(place, deadline)
            piece = offer.at(place)
            if not offer.done:
                if show and piece and piece.text.strip() and piece.text != shown:
                    shown = piece.text
                    show(Answer(place, (Suggestion(offer.id, piece),), "model", None))
                enough = not show and (offer.at_once or deadline.is_past)
                piece = offer.whole_at(place) if enough else None
            if piece is not None:
                offer.at_once = True
                if turn.waited and deadline.started is not None:
                    self._surroundings.debounce.answered(_now() - deadline.started)
                return Suggestion(offer.id, piece)
            await turn.change()

    async def _several(self, turn: PendingRequest, place: Place, first: Suggestion) -> tuple[Suggestion, ...]:
        """`first` and samples that differ from it, as many as there are to be shown."""
        found = {first.piece.text.strip(): first} if first.piece.text.strip() else {}
        for seed in range(1, _TRIES + 1):
            if len(found) == CANDIDATES:
                break
            deadline = turn.deadline(self._surroundings.settings.latency_budget_ms)
            offer = self._writing.sample(place, seed, _SAMPLING, deadline)
            while not self._writing.ends(offer) and not deadline.is_past:
                await turn.change()
            piece = offer.at(place) if offer.done else offer.whole_at(place)
            if piece and piece.text.strip() and piece.text.strip() not in found:
                found[piece.text.strip()] = Suggestion(offer.id, piece)
                self._writing.keep_sample(offer)
        self._writing.close()
        return tuple(found.values()) or (first,)

    def _heard(self, error: BaseException | None) -> None:
        """There is news of what is being written."""
        if self._turn is not None:
            self._turn.wake(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
