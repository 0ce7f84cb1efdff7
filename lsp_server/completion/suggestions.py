"""The cache of suggestions, each of which is valid at more than one cursor.

A suggestion is for a document: the text before a cursor, the suggested text, the text after it. It is valid
wherever that document can still be reached by accepting the rest of it, so one answer of the model serves
every key that agrees with it:

- while its text is typed, and where the editor has inserted the indentation that a line of it begins with;
- where the editor has closed a bracket or quote by itself that the text closes too: if the text ends there,
  what remains ends before it, else the suggestion replaces the editor's closer;
- on the line below its end, as far as the model has written on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lsp_server.completion.cursor_text import CursorText, same_suffix
from lsp_server.trimming import Piece, Trim

MAX_CACHED: Final = 32
"""Maximum number of cached suggestions of a document: enough to type a few wrong words and take them back."""

_LONGEST_INSERTED: Final = 200  # characters: a closing line and its indentation
_CLOSERS: Final = frozenset(")]}>\"'`;:,")  # what editors close by themselves, and what trimming covers


class CachedSuggestion:
    """What the model suggests at `start`, as far as it has written it.

    `generated` is its text before trimming. `model_stopped` says that it would not write on: it did not just
    run out of tokens or time. `partly_shown` says that the user has seen some of it, so that whoever asks for
    it is answered at once with what there is. No other suggestion has its `id`, in this or another process.
    """

    def __init__(
        self, start: CursorText, *, language: str = "", multiline: bool = True, generated: str = ""
    ) -> None:
        self.id = os.urandom(8).hex()
        self.start = start
        self.generated = ""
        self.model_stopped = False
        self.partly_shown = False
        self._language, self._multiline = language, multiline
        self._trim = Trim(start.prefix, start.suffix, language=language, multiline=multiline)
        self.feed(generated)

    @property
    def end(self) -> CursorText:
        """Where the model writes on."""
        return replace(self.start, prefix=self.start.prefix + self.generated)

    @property
    def done(self) -> bool:
        """Whether what is shown of it is all that will be."""
        return self._trim.done

    @property
    def enough(self) -> bool:
        """Whether the model can stop: the suggestion is done and, if it is one line, so is the next line.

        The next line is what the user wants to see after accepting the first, so it is generated while the
        model is idle.
        """
        if not self._trim.done:
            return False
        line, _, below = self.generated.partition("\n")
        dropped = line.strip().removeprefix(self._trim.shown.strip())
        return not _CLOSERS.issuperset(dropped) or "\n" in below.lstrip()

    def feed(self, text: str) -> None:
        """Take the next piece of what the model writes."""
        self.generated += text
        if text and not self._trim.done:
            self._trim.feed(text)

    def finish(self, *, cut: bool) -> None:
        """Nothing will be added; `cut` where the model would have written on."""
        self.model_stopped = not cut
        if not self._trim.done:
            self._trim.finish(cut=cut)

    def piece_at(self, cursor: CursorText) -> Piece | None:
        """What remains of it at `cursor`; None where it is not valid, or nothing remains."""
        return self._remaining(cursor, Piece(self._trim.shown, self._trim.covers), final=self._trim.done)

    def whole_piece_at(self, cursor: CursorText) -> Piece | None:
        """The best whole piece of it that there is at `cursor` so far."""
        piece = self._remaining(cursor, self._trim.whole(), final=True)
        return piece if piece is not None and piece.text.strip() else None

    def agrees_with(self, cursor: CursorText) -> bool:
        """Whether what was typed up to `cursor` is what the model has written so far."""
        typed = self._typed_until(cursor)
        return (
            typed is not None
            and self.generated.startswith(typed)
            and (
                same_suffix(cursor.suffix, self.start.suffix)
                or _inserted(cursor.suffix, self.start.suffix[self._trim.covers :]) is not None
            )
        )

    def continued_at(self, cursor: CursorText) -> CachedSuggestion | None:
        """What was generated beyond what is shown, as a suggestion at `cursor`; None if that is elsewhere."""
        typed = self._typed_until(cursor)
        if not typed or not self._trim.done or not self.generated.startswith(typed):
            return None
        if not same_suffix(cursor.suffix, self.start.suffix):
            over = _inserted(self.start.suffix, cursor.suffix)  # typed over what the editor had closed
            if not over or not _CLOSERS.issuperset(over) or not _contains(typed, over):
                return None
        generated = self.generated[len(typed) :]
        suggestion = CachedSuggestion(
            cursor, language=self._language, multiline=self._multiline, generated=generated
        )
        if self.model_stopped:
            suggestion.finish(cut=False)
        suggestion.partly_shown = "\n" in generated
        return suggestion

    def _typed_until(self, cursor: CursorText) -> str | None:
        """What was typed between `start` and `cursor`, if that is what happened."""
        here = self.start.prefix
        return cursor.prefix[len(here) :] if cursor.prefix.startswith(here) else None

    def _remaining(self, cursor: CursorText, piece: Piece, *, final: bool) -> Piece | None:
        """What remains of `piece` at `cursor`; `final` says that it will not grow."""
        typed = self._typed_until(cursor)
        if typed is None or not piece.text.startswith(typed):
            return None
        text = piece.text[len(typed) :]
        if typed and not text and self._trim.done:
            return None
        if same_suffix(cursor.suffix, self.start.suffix):
            return Piece(text, piece.covers)
        inserted = _inserted(cursor.suffix, self.start.suffix[piece.covers :])
        if inserted is None:
            return None
        if text.endswith(inserted):
            return Piece(text[: len(text) - len(inserted)], 0)
        if _CLOSERS.issuperset(inserted) and _contains(text, inserted):
            return Piece(text, len(inserted)) if final else Piece(text[: text.find(inserted[0])], 0)
        return None if self._trim.done else Piece(text, 0)


class SuggestionCache:
    """The cached suggestions of one document; iterating goes from the newest to the oldest."""

    def __init__(self) -> None:
        self._suggestions: list[CachedSuggestion] = []  # the newest last

    def __iter__(self) -> Iterator[CachedSuggestion]:
        return reversed(self._suggestions)

    def add(self, suggestion: CachedSuggestion, *, newest: bool = True) -> None:
        """Keep `suggestion`; not as the `newest` where the newest one is to be preferred to it."""
        self._suggestions.insert(len(self._suggestions) - (not newest), suggestion)
        del self._suggestions[:-MAX_CACHED]

    def find(self, cursor: CursorText) -> CachedSuggestion | None:
        """The newest suggestion that is valid at `cursor`, or may turn out to be when it is done.

        Where the snippets are others than it was made with, only the one that the user is looking at counts.
        """
        for suggestion in self:
            if suggestion.start.snippets != cursor.snippets and suggestion is not self._suggestions[-1]:
                continue
            if suggestion.piece_at(cursor) is not None or (
                not suggestion.done and suggestion.agrees_with(cursor)
            ):
                return suggestion
            continued = suggestion.continued_at(cursor)
            if continued is not None:
                self.add(continued)
                return continued
        return None

    def remove(self, suggestion: CachedSuggestion) -> None:
        """Drop `suggestion`, if it is there."""
        if suggestion in self._suggestions:
            self._suggestions.remove(suggestion)

    def clear(self) -> None:
        """Drop everything."""
        self._suggestions.clear()


def _inserted(now: str, before: str) -> str | None:
    """What `now` begins with before `before` follows; None where it does not follow soon."""
    if same_suffix(now, before):
        return ""
    for count in range(1, min(len(now), _LONGEST_INSERTED) + 1):
        if same_suffix(now[count:], before):
            return now[:count]
    return None


def _contains(text: str, parts: str) -> bool:
    """Whether the characters of `parts` come in `text` in this order."""
    rest = iter(text)
    return all(part in rest for part in parts)
