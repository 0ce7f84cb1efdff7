"""What was proposed, and where it still holds.

session ▶ **offers** ▶ {places, trim}. An offer proposes a document: what stands before a cursor, the offered
text, what follows. It holds wherever that document can still be reached from, so one answer of the model
serves every key that agrees with it:

- while the text is typed, and where the editor inserted the indentation that it begins a line with;
- where the editor closed a bracket or quote by itself that the text closes too: if the text ends there,
  what is left ends before it, else the item takes the closer's place;
- beyond the text's end, on the next line, as far as the model has written on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lsp_server.completion.cursor_text import Place, same_suffix
from lsp_server.trimming import Piece, Trim

MOST_OFFERS: Final = 32
"""How many are remembered of one document: enough to type a few wrong words and take them back."""

_EDITORS_OWN: Final = frozenset(")]}>\"'`;:,")  # what editors close by themselves, and what trim covers


class Offer:
    """A text proposed at `place`, as far as the model has written it.

    `raw` is what it wrote. `ended` says that the model will not write on: it stopped, and did not only run
    out of tokens or time. `at_once` says that who asks for it gets what there is: the user has seen some of
    it already. No other offer has its `id`, in this or another process.
    """

    def __init__(self, place: Place, *, language: str = "", multiline: bool = True, raw: str = "") -> None:
        self.id = os.urandom(8).hex()
        self.place = place
        self.raw = ""
        self.ended = False
        self.at_once = False
        self._language, self._multiline = language, multiline
        self._trim = Trim(place.prefix, place.suffix, language=language, multiline=multiline)
        self.feed(raw)

    @property
    def written(self) -> Place:
        """The place where the model goes on."""
        return replace(self.place, prefix=self.place.prefix + self.raw)

    @property
    def done(self) -> bool:
        """Whether what is shown of it is all that will be."""
        return self._trim.done

    @property
    def enough(self) -> bool:
        """Whether the model need not write on: it is done, and if it is one line, so is the next one.

        The next line is what the user wants to see after the line was accepted, so it is made while there
        is nothing else to do.
        """
        if not self._trim.done:
            return False
        line, _, below = self.raw.partition("\n")
        dropped = line.strip().removeprefix(self._trim.shown.strip())
        return not _EDITORS_OWN.issuperset(dropped) or "\n" in below.lstrip()

    def feed(self, text: str) -> None:
        """Take the next piece of what the model writes."""
        self.raw += text
        if text and not self._trim.done:
            self._trim.feed(text)

    def end(self, *, cut: bool) -> None:
        """No more will be shown; `cut` where the model would have written on."""
        self.ended = not cut
        if not self._trim.done:
            self._trim.finish(cut=cut)

    def at(self, place: Place) -> Piece | None:
        """What of it is left to show at `place`; None where it does not hold, or nothing is left."""
        return self._left(place, Piece(self._trim.shown, self._trim.covers), final=self._trim.done)

    def whole_at(self, place: Place) -> Piece | None:
        """The best whole piece that there is at `place` so far."""
        piece = self._left(place, self._trim.whole(), final=True)
        return piece if piece is not None and piece.text.strip() else None

    def agrees(self, place: Place) -> bool:
        """Whether what was typed up to `place` is what the model has written so far."""
        typed = self._typed(place)
        return (
            typed is not None
            and self.raw.startswith(typed)
            and (
                same_suffix(place.suffix, self.place.suffix)
                or _inserted(place.suffix, self.place.suffix[self._trim.covers :]) is not None
            )
        )

    def moved(self, place: Place) -> Offer | None:
        """What the model wrote beyond what is shown, as an offer at `place`; None if it wrote otherwise."""
        typed = self._typed(place)
        if not typed or not self._trim.done or not self.raw.startswith(typed):
            return None
        if not same_suffix(place.suffix, self.place.suffix):
            over = _inserted(self.place.suffix, place.suffix)  # typed over what the editor had closed
            if not over or not _EDITORS_OWN.issuperset(over) or not _contains(typed, over):
                return None
        offer = Offer(place, language=self._language, multiline=self._multiline, raw=self.raw[len(typed) :])
        if self.ended:
            offer.end(cut=False)
        offer.at_once = "\n" in offer.raw
        return offer

    def _typed(self, place: Place) -> str | None:
        """What was typed between here and `place`, if that is what happened."""
        here = self.place.prefix
        return place.prefix[len(here) :] if place.prefix.startswith(here) else None

    def _left(self, place: Place, piece: Piece, *, final: bool) -> Piece | None:
        """What is left of `piece` at `place`; `final` says that it will not grow."""
        typed = self._typed(place)
        if typed is None or not piece.text.startswith(typed):
            return None
        left = piece.text[len(typed) :]
        if typed and not left and self._trim.done:
            return None
        if same_suffix(place.suffix, self.place.suffix):
            return Piece(left, piece.covers)
        inserted = _inserted(place.suffix, self.place.suffix[piece.covers :])
        if inserted is None:
            return None
        if left.endswith(inserted):
            return Piece(left[: len(left) - len(inserted)], 0)
        if _EDITORS_OWN.issuperset(inserted) and _contains(left, inserted):
            return Piece(left, len(inserted)) if final else Piece(left[: left.find(inserted[0])], 0)
        return None if self._trim.done else Piece(left, 0)


class Offers:
    """What is remembered of one document, the newest last."""

    def __init__(self) -> None:
        self._offers: list[Offer] = []

    def __iter__(self) -> Iterator[Offer]:
        return reversed(self._offers)

    def add(self, offer: Offer, *, newest: bool = True) -> None:
        """Remember `offer`; not as the `newest` where another one is to be preferred to it."""
        self._offers.insert(len(self._offers) - (not newest), offer)
        del self._offers[:-MOST_OFFERS]

    def find(self, place: Place) -> Offer | None:
        """The newest offer that says what belongs at `place`, or will have said it when it is done.

        Once the context beside a place is another, only the offer that the user is looking at counts.
        """
        for offer in self:
            if offer.place.snippets != place.snippets and offer is not self._offers[-1]:
                continue
            if offer.at(place) is not None or (not offer.done and offer.agrees(place)):
                return offer
            moved = offer.moved(place)
            if moved is not None:
                self.add(moved)
                return moved
        return None

    def forget(self, offer: Offer) -> None:
        """Drop one that came to nothing."""
        if offer in self._offers:
            self._offers.remove(offer)

    def clear(self) -> None:
        """Drop everything."""
        self._offers.clear()


def _inserted(now: str, before: str) -> str | None:
    """What `now` begins with before `before` follows; None where it does not follow soon."""
    if same_suffix(now, before):
        return ""
    for count in range(1, min(len(now), _LONGEST_INSERTED) + 1):
        if same_suffix(now[count:], before):
            return now[:count]
    return None


_LONGEST_INSERTED: Final = 200  # a closing line and its indentation


def _contains(text: str, parts: str) -> bool:
    """Whether the characters of `parts` come in `text` in this order."""
    rest = iter(text)
    return all(part in rest for part in parts)
