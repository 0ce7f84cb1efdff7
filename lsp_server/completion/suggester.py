"""A document's offers, and the one among them that the model is writing.

session ▶ **writing** ▶ {generation, offers, debounce, context} ▶ model_runtime.api. One generation runs at a
time. It goes on for as long as somebody may want what it writes, whoever asked for it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from lsp_server.completion.cursor_text import Place, completion_request
from lsp_server.completion.debounce import Debounce
from lsp_server.completion.generation import Generation
from lsp_server.completion.pending_request import Deadline
from lsp_server.completion.suggestions import Offer, Offers
from lsp_server.context import Context
from lsp_server.document import Document, Position
from lsp_server.settings import Settings
from model_runtime.api import Backend, CompletionRequest, Usage

_GRACE: Final = 0.25  # seconds in which the next key may still want what was cancelled


@dataclass
class Surroundings:
    """What the sessions of one editor share; the workspace exchanges parts as the user's wishes change.

    `backend` is the one in use. With a `seed` what is sampled is the same each time. `generating`
    is told the name of a model that writes, or None when it has ended; `inserted` is told what a single edit
    has put into a document, and where that ends.
    """

    backend: Backend
    settings: Settings
    context: Context = field(default_factory=Context)
    debounce: Debounce = field(default_factory=Debounce)
    seed: int | None = None
    generating: Callable[[str | None], None] = lambda model: None
    inserted: Callable[[Document, str, Position], None] = lambda document, text, end: None


class Writing:
    """Finds offers for the places in `document`, or has them written.

    `news` is called when the offer that is being written has changed, with the error if it came to nothing.
    """

    def __init__(
        self,
        document: Document,
        surroundings: Surroundings,
        news: Callable[[BaseException | None], None],
    ) -> None:
        self._document = document
        self._surroundings = surroundings
        self._news = news
        self._offers = Offers()
        self._running: Generation | None = None
        self._closed: Generation | None = None
        self._deserted = False
        self._usage = self._told = Usage()  # of what has ended; what `take_usage` has given

    def known(self, place: Place) -> bool:
        """Whether there is an offer for `place`; where there is none, nothing is written any more."""
        known = self._offers.find(place) is not None
        if not known:
            self.close()
        return known

    def offer(self, place: Place, deadline: Deadline | None = None) -> Offer:
        """The offer that holds at `place`. Where it is not done, it is being written from now on.

        The `deadline` is that of whoever waits for it.
        """
        offer = self._offers.find(place)
        if offer is None:
            offer = self._new_offer(place)
            self._offers.add(offer)
            self._start(offer, self._request(place), deadline)
        elif not self._is_written(offer):
            if not offer.done:
                self._start(offer, self._request(offer.written), deadline)
            elif self._running is not None and not self._running.wanted_at(place):
                self.close()
        elif deadline is not None and self._running is not None and self._running.model is not None:
            deadline.start()
        return offer

    def sample(self, place: Place, seed: int, temperature: float, deadline: Deadline) -> Offer:
        """Another offer for `place`, drawn with `seed`; no later request goes on with it."""
        offer = self._new_offer(place)
        request = self._request(place)
        temperature = request.temperature or temperature
        self._start(offer, replace(request, seed=seed, temperature=temperature), deadline, sample=True)
        return offer

    def keep_sample(self, offer: Offer) -> None:
        """Remember a sample: the user may choose it."""
        self._offers.add(offer, newest=False)

    def ends(self, offer: Offer) -> bool:
        """Whether nothing more comes to `offer` unless it is asked for again."""
        running = self._running
        return offer.done or running is None or running.offer is not offer

    def take_usage(self) -> Usage | None:
        """What was computed for the document since this was last asked; None where the backend cannot count.

        That includes what nobody has seen: what was overtaken, and what was begun before it was asked for.
        """
        total = self._usage
        if self._running is not None and self._running.usage is not None:
            total += self._running.usage
        usage, self._told = total - self._told, total
        return None if usage == Usage() else usage

    def desert(self) -> None:
        """Nobody waits any more. Editors cancel at every key, and the next one may want what is running."""
        running = self._running
        self._deserted = True

        def close() -> None:
            if self._deserted and self._running is running:
                self.close()

        asyncio.get_running_loop().call_later(_GRACE, close)

    def close(self) -> None:
        """Write nothing any more."""
        running, self._running = self._running, None
        if running is not None and running.usage is not None:
            self._usage += running.usage
        if running is not None and not running.over:
            running.close()
            self._closed = running
            self._surroundings.generating(None)
            if not running.offer.raw:
                self._offers.forget(running.offer)

    def forget(self) -> None:
        """Remember nothing either."""
        self.close()
        self._offers.clear()

    async def ended(self) -> None:
        """Wait, once it is closed, until the model is free."""
        if self._closed is not None:
            await self._closed.ended()

    def _new_offer(self, place: Place) -> Offer:
        multiline = self._surroundings.settings.multiline
        return Offer(place, language=self._document.language, multiline=multiline)

    def _request(self, place: Place) -> CompletionRequest:
        around = self._surroundings
        return replace(completion_request(place, self._document, around.settings), seed=around.seed)

    def _is_written(self, offer: Offer) -> bool:
        """Whether the running generation writes `offer`, or can go on with it where it is."""
        running = self._running
        if running is None or running.over or running.sample:
            return False
        if running.offer.written == offer.written:
            running.offer = offer
        self._deserted = False
        return running.offer is offer

    def _start(
        self, offer: Offer, request: CompletionRequest, deadline: Deadline | None, *, sample: bool = False
    ) -> None:
        self.close()
        self._deserted = False
        backend = self._surroundings.backend
        self._running = Generation(offer, backend, request, self._heard, deadline=deadline, sample=sample)

    def _heard(self, generation: Generation) -> None:
        if generation is not self._running:
            return
        self._surroundings.generating(None if generation.over else generation.model)
        if generation.error is not None:
            self._offers.forget(generation.offer)
        self._news(generation.error)
