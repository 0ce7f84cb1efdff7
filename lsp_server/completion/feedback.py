"""What becomes of the suggestions that an editor was sent: shown, accepted, dismissed, kept.

Editors tell when an item was accepted, and some of them when it was shown. The rest is seen from the edits
and requests that follow. All of it is counted in the statistics.
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

_MAX_SENT: Final = 64  # items of which it is not known yet what becomes of them
_SHORTEST_INSERTED: Final = 2  # characters: one is typed, not accepted


@dataclass(frozen=True)
class Sent:
    """An item that an editor was sent: the word `typed` so far, then `piece`, for the cursor at `position`.

    `taken` UTF-16 units of the suggestion were accepted before, and are not in `piece` any more.
    """

    session: Session
    position: Position
    cursor_text: CursorText
    piece: Piece
    typed: str
    taken: int = 0


class Feedback:
    """Follows the suggestions of one editor. `model` returns the name of the model that is in use.

    `tells_shown` says that the editor tells what it shows. Without it, every item counts as shown until the
    editor does tell.
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
        self._sent: dict[str, Sent] = {}
        self._checks = KeptChecks()
        self._timer: asyncio.TimerHandle | None = None
        self._tells_shown = tells_shown

    def answered(self, session: Session, answer: Answer, seconds: float) -> None:
        """A request was answered so many seconds after it came."""
        self._dismiss(session, answer)
        if any(one.piece.text.strip() for one in answer.suggestions):
            self._metrics.answered(
                model=self._name,
                language=session.document.language,
                source=answer.source,
                milliseconds=seconds * 1000,
                usage=answer.usage,
            )

    def sent(self, suggestion: Suggestion, item: Sent) -> None:
        """The editor has been given `item`."""
        self._sent.pop(suggestion.id, None)
        self._sent[suggestion.id] = replace(item, taken=self._metrics.accepted_units(suggestion.id))
        while len(self._sent) > _MAX_SENT:
            del self._sent[next(iter(self._sent))]
        if not self._tells_shown:
            self._show(suggestion.id, item)

    def shown(self, id_: object) -> None:
        """The editor has shown the item."""
        self._tells_shown = True
        if isinstance(id_, str) and id_ in self._sent:
            self._show(id_, self._sent[id_])

    def inserted(self, document: Document, text: str, end: Position) -> None:
        """An edit has put `text` into the document, up to `end`: where that is an item, it was accepted."""
        if len(text) < _SHORTEST_INSERTED:
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
        """The user has accepted the item: count that once, and generate what follows."""
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
        """The user has accepted so many UTF-16 units of the item; all of them make it accepted."""
        sent = self._sent.get(id_) if isinstance(id_, str) else None
        if sent is None:
            return
        assert isinstance(id_, str)
        length -= code_units(sent.typed, "utf-16")
        if length >= code_units(sent.piece.text, "utf-16"):
            self.accepted(id_)
        else:
            self._metrics.partly_accepted(id_, sent.taken + length)

    def rejected(self, id_: object) -> None:
        """The user has taken the item off the screen."""
        if isinstance(id_, str) and self._sent.pop(id_, None) is not None:
            self._metrics.dismissed(id_)

    def close_document(self, document: Document) -> None:
        """What becomes of accepted text in `document` is not seen any more."""
        self._checks.forget(document.uri)

    def close(self) -> None:
        """The editor has gone."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _name(self) -> str:
        return self._model() or "unknown"

    def _show(self, id_: str, item: Sent) -> None:
        length = code_units(item.piece.text, "utf-16")
        self._metrics.shown(id_, model=self._name, language=item.session.document.language, length=length)

    def _dismiss(self, session: Session, answer: Answer) -> None:
        """Items that are not in `answer` any more were dismissed, unless all of their text was typed."""
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
        """See how much of the accepted text still stands."""
        for after, accepted in self._checks.due(self._now()):
            session = self._sessions.get(accepted.uri)
            if session is not None:
                share = kept_share(accepted, session.document.text)
                self._metrics.kept(model=accepted.model, language=accepted.language, after=after, share=share)
        self._schedule_check()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
