"""Tracks whether suggestions are shown, accepted, dismissed and kept, and counts that in the statistics.

Editors report accepted items, and some of them report shown items. The rest is inferred from later edits and
requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lsp_server.completion.cursor_text import CursorText
from lsp_server.completion.session import Answer, Session, Suggestion
from lsp_server.document import Document, Position, code_units
from lsp_server.statistics import Accepted, KeptChecks, Metrics, kept_share
from lsp_server.trimming import Piece

_MAX_SENT_ITEMS: Final = 64  # that are neither accepted nor dismissed yet
_MIN_ACCEPTED_CHARACTERS: Final = 2  # a shorter insertion counts as typed


@dataclass(frozen=True)
class SentSuggestion:
    """A suggestion sent to an editor for the cursor at `position`: the word `typed` so far, then `piece`.

    `taken` UTF-16 units of the suggestion were accepted before and are no longer in `piece`. Lines of its
    document end with `line_end`.
    """

    session: Session
    position: Position
    cursor_text: CursorText
    piece: Piece
    typed: str
    taken: int = 0
    line_end: str = "\n"

    @property
    def length(self) -> int:
        """The UTF-16 units of the piece, as it was sent."""
        return code_units(self.piece.text.replace("\n", self.line_end), "utf-16")


class Feedback:
    """Tracks the suggestions sent to one editor. `model` returns the name of the model in use.

    `tells_shown` is set if the editor reports shown items. Otherwise every item counts as shown, until the
    editor's first report.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        metrics: Metrics,
        model: Callable[[], str | None],
        *,
        tells_shown: bool = False,
    ) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._model = model
        self._sent: dict[str, SentSuggestion] = {}
        self._checks = KeptChecks()
        self._timer: asyncio.TimerHandle | None = None
        self._tells_shown = tells_shown

    def answered(self, session: Session, answer: Answer, seconds: float) -> None:
        """A request was answered after `seconds`."""
        self._dismiss(session, answer)
        if any(one.piece.text.strip() for one in answer.suggestions):
            self._metrics.answered(
                model=self._name,
                language=session.document.language,
                source=answer.source,
                milliseconds=seconds * 1000,
                usage=answer.usage,
            )

    def sent(self, suggestion: Suggestion, item: SentSuggestion) -> None:
        """The editor was sent `item`."""
        self._sent.pop(suggestion.id, None)
        self._sent[suggestion.id] = replace(item, taken=self._metrics.accepted_units(suggestion.id))
        while len(self._sent) > _MAX_SENT_ITEMS:
            del self._sent[next(iter(self._sent))]
        if not self._tells_shown:
            self._show(suggestion.id, item)

    def shown(self, id_: object) -> None:
        """The editor has shown the item."""
        self._tells_shown = True
        if isinstance(id_, str) and id_ in self._sent:
            self._show(id_, self._sent[id_])

    def inserted(self, document: Document, text: str, end: Position) -> None:
        """An edit has inserted `text` before `end`; if it matches an item, that item was accepted."""
        if len(text) < _MIN_ACCEPTED_CHARACTERS:
            return
        for id_, sent in reversed(self._sent.items()):
            piece = sent.piece
            if (
                sent.session.document is document
                and (piece.text.endswith(text) or text.endswith(piece.text))
                and CursorText.at(document, end).same_text(sent.cursor_text.after(piece))
            ):
                self.accepted(id_)
                return

    def accepted(self, id_: object) -> None:
        """The user has accepted the item: count it once, and prefetch the completion that follows."""
        sent = self._sent.pop(id_, None) if isinstance(id_, str) else None
        if sent is None:
            return
        assert isinstance(id_, str)
        self._metrics.accepted(id_)
        document = sent.session.document
        accepted = Accepted(
            document.uri,
            sent.piece.text,
            document.offset_at(sent.position),
            self._name,
            document.language,
        )
        self._checks.add(self._now(), accepted)
        self._schedule_check()
        sent.session.prefetch(sent.cursor_text.after(sent.piece))

    def partly_accepted(self, id_: object, length: int) -> None:
        """The user has accepted the first `length` UTF-16 units of the item, possibly all of them."""
        sent = self._sent.get(id_) if isinstance(id_, str) else None
        if sent is None:
            return
        assert isinstance(id_, str)
        length -= code_units(sent.typed, "utf-16")
        if length >= sent.length:
            self.accepted(id_)
        else:
            self._metrics.partly_accepted(id_, sent.taken + length)

    def rejected(self, id_: object) -> None:
        """The user has dismissed the item."""
        if isinstance(id_, str) and self._sent.pop(id_, None) is not None:
            self._metrics.dismissed(id_)

    def close_document(self, document: Document) -> None:
        """Stop checking accepted text in `document`."""
        self._checks.forget(document.uri)

    def close(self) -> None:
        """Stop all checks."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _name(self) -> str:
        return self._model() or "unknown"

    def _show(self, id_: str, item: SentSuggestion) -> None:
        language = item.session.document.language
        self._metrics.shown(id_, model=self._name, language=language, length=item.length)

    def _dismiss(self, session: Session, answer: Answer) -> None:
        """Count items that are no longer in `answer` as dismissed, unless their whole text was typed."""
        still = {suggestion.id for suggestion in answer.suggestions}
        for id_, sent in list(self._sent.items()):
            if sent.session is session and id_ not in still:
                del self._sent[id_]
                if not answer.cursor_text.prefix.startswith(sent.cursor_text.after(sent.piece).prefix):
                    self._metrics.dismissed(id_)

    def _schedule_check(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._checks.next_time is not None:
            self._timer = asyncio.get_running_loop().call_at(self._checks.next_time, self._check)

    def _check(self) -> None:
        """Measure how much of the accepted text is still in the documents."""
        for after, accepted in self._checks.due(self._now()):
            session = self._sessions.get(accepted.uri)
            if session is not None:
                share = kept_share(accepted, session.document.text)
                self._metrics.kept(model=accepted.model, language=accepted.language, after=after, share=share)
        self._schedule_check()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
