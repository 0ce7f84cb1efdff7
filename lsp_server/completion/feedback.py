"""What becomes of the suggestions that an editor was sent: shown, accepted, dismissed, kept.

completing ▶ **outcomes** ▶ {metrics, keeping, session}. Editors tell when an item was accepted, and some of
them when it was shown. The rest is seen from what is asked next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lsp_server.completion.cursor_text import Place
from lsp_server.completion.session import Answer, Session, Suggestion
from lsp_server.document import Document, Position, code_units
from lsp_server.statistics import Accepted, KeptChecks, Metrics, kept_share
from lsp_server.trimming import Piece

_MOST_REMEMBERED: Final = 64


@dataclass(frozen=True)
class Sent:
    """An item that an editor has: `typed` and then `piece`, at `place`, which is at `cursor`.

    `taken` UTF-16 units of the suggestion were accepted before, and are no part of `piece` any more.
    """

    session: Session
    cursor: Position
    place: Place
    piece: Piece
    typed: str
    taken: int = 0


class Outcomes:
    """Follows the suggestions of one editor. `model` tells the name of the model that is in use.

    `tells_shown` says that the editor tells what it shows. Without it, all is shown until it does tell.
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
        self._alarm: asyncio.TimerHandle | None = None
        self._tells_shown = tells_shown

    def answered(self, session: Session, answer: Answer, seconds: float) -> None:
        """A request has been answered so long after it came."""
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
        while len(self._sent) > _MOST_REMEMBERED:
            del self._sent[next(iter(self._sent))]
        if not self._tells_shown:
            self._show(suggestion.id, item)

    def shown(self, id_: object) -> None:
        """The editor has shown the item."""
        self._tells_shown = True
        if isinstance(id_, str) and id_ in self._sent:
            self._show(id_, self._sent[id_])

    def accepted(self, id_: object) -> Sent | None:
        """The user has accepted the item; None where that is known already, or nothing of the item is."""
        sent = self._sent.pop(id_, None) if isinstance(id_, str) else None
        if sent is None:
            return None
        assert isinstance(id_, str)
        self._metrics.accepted(id_)
        document = sent.session.document
        accepted = Accepted(
            document.uri,
            sent.piece.text,
            document.offset_at(sent.cursor),
            self._name,
            document.language,
        )
        self._checks.add(self._now(), accepted)
        self._set_alarm()
        return sent

    def partly_accepted(self, id_: object, length: int) -> Sent | None:
        """The user has accepted so many UTF-16 units of the item; if that is all of it, it is accepted."""
        sent = self._sent.get(id_) if isinstance(id_, str) else None
        if sent is None:
            return None
        assert isinstance(id_, str)
        length -= code_units(sent.typed, "utf-16")
        if length >= code_units(sent.piece.text, "utf-16"):
            return self.accepted(id_)
        self._metrics.partly_accepted(id_, sent.taken + length)
        return None

    def rejected(self, id_: object) -> None:
        """The user has taken the item off the screen."""
        if isinstance(id_, str) and self._sent.pop(id_, None) is not None:
            self._metrics.dismissed(id_)

    def close_document(self, document: Document) -> None:
        """Nobody knows what becomes of it."""
        self._checks.forget(document.uri)

    def close(self) -> None:
        """The editor has gone."""
        if self._alarm is not None:
            self._alarm.cancel()

    @property
    def _name(self) -> str:
        return self._model() or "unknown"

    def _show(self, id_: str, item: Sent) -> None:
        length = code_units(item.piece.text, "utf-16")
        self._metrics.shown(id_, model=self._name, language=item.session.document.language, length=length)

    def _dismiss(self, session: Session, answer: Answer) -> None:
        """What was on the screen and is answered no more was typed over, unless all of it was typed."""
        still = {suggestion.id for suggestion in answer.suggestions}
        for id_, sent in list(self._sent.items()):
            if sent.session is session and id_ not in still:
                del self._sent[id_]
                if not answer.place.prefix.startswith(sent.place.after(sent.piece).prefix):
                    self._metrics.dismissed(id_)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._checks.next_time is not None:
            self._alarm = asyncio.get_running_loop().call_at(self._checks.next_time, self._check)

    def _check(self) -> None:
        """See how much of what was accepted still stands."""
        for after, accepted in self._checks.due(self._now()):
            session = self._sessions.get(accepted.uri)
            if session is not None:
                share = kept_share(accepted, session.document.text)
                self._metrics.kept(model=accepted.model, language=accepted.language, after=after, share=share)
        self._set_alarm()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
