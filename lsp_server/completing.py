"""Completions for an editor: its requests to sessions, their answers to items, and what became of these.

workspace ▶ **completing** ▶ {messages, items, outcomes} ▶ session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from lsp_server.document import Position, Selection
from lsp_server.items import Target
from lsp_server.jsonrpc import Peer
from lsp_server.messages import CompletionParams, decode_accepted_length, decode_item_id
from lsp_server.outcomes import Outcomes, Sent
from lsp_server.session import Answer, Session, Show, Suggestion
from model_runtime.api import BackendError

_NOTHING: Final[Mapping[str, object]] = {"items": []}


class Completing:
    """Answers one editor's requests for completions.

    `sessions` are the open documents by URI. `failed` is told what the user can mend. With `tells_source`
    lists of items say whether they came from memory, with `markdown` pop-ups show code as such. `enabled` may
    be switched off: then there is nothing to show anywhere.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        outcomes: Outcomes,
        peer: Peer,
        failed: Callable[[BackendError], None],
        *,
        tells_source: bool = False,
        markdown: bool = False,
    ) -> None:
        self.enabled = True
        self._sessions = sessions
        self._outcomes = outcomes
        self._peer = peer
        self._failed = failed
        self._tells_source = tells_source
        self._markdown = markdown

    async def inline(self, params: object) -> object:
        """``textDocument/inlineCompletion``; None, not an empty list, where a newer request has come.

        An editor hides what it shows when it gets an empty list, and keeps it when it gets None.
        """
        asked = CompletionParams.decode(params)
        session = self._sessions.get(asked.uri)
        if session is None:
            return None  # closed a moment ago, say: nothing to complete, and no mistake either
        if not self.enabled:
            return _NOTHING
        cursor = session.document.clamp(asked.position)
        target = Target.inline(session.document, cursor, asked.selected)

        def show(answer: Answer) -> None:
            # What is seen can be accepted, before it is whole.
            suggestions = self._remember(session, cursor, answer, target)
            value = {"items": [target.inline_item(suggestion) for suggestion in suggestions]}
            self._peer.notify("$/progress", {"token": asked.partial_result_token, "value": value})

        answer = await self._complete(
            session,
            cursor,
            asked.selected,
            invoked=asked.invoked,
            show=None if asked.partial_result_token is None else show,
        )
        if answer is None:
            return None
        suggestions = self._remember(session, cursor, answer, target)
        items = [target.inline_item(suggestion) for suggestion in suggestions]
        return {"items": items, "source": answer.source} if self._tells_source else {"items": items}

    async def popup(self, params: object) -> object:
        """``textDocument/completion``."""
        asked = CompletionParams.decode(params)
        session = self._sessions.get(asked.uri)
        if session is None:
            return None
        if not self.enabled:
            return _NOTHING
        cursor = session.document.clamp(asked.position)
        target = Target.word(session.document, cursor)
        answer = await self._complete(session, cursor)
        if answer is None:
            return None
        suggestions = self._remember(session, cursor, answer, target)
        return {
            "isIncomplete": True,  # what fits changes with every key
            "items": [target.popup_item(suggestion, markdown=self._markdown) for suggestion in suggestions],
        }

    def shown(self, params: object) -> None:
        """``textDocument/didShowCompletion``."""
        self._outcomes.shown(decode_item_id(params))

    def partly_accepted(self, params: object) -> None:
        """``textDocument/didPartiallyAcceptCompletion``."""
        self._go_on_after(
            self._outcomes.partly_accepted(decode_item_id(params), decode_accepted_length(params))
        )

    def accept(self, id_: object) -> None:
        """The editor has inserted the item with this id."""
        self._go_on_after(self._outcomes.accepted(id_))

    def _go_on_after(self, sent: Sent | None) -> None:
        if sent is not None:
            sent.session.accept(sent.place, sent.piece)

    async def _complete(
        self,
        session: Session,
        cursor: Position,
        selected: Selection | None = None,
        *,
        invoked: bool = False,
        show: Show | None = None,
    ) -> Answer | None:
        """The session's answer, or None where there is none to show, whatever the reason."""
        for other in self._sessions.values():
            if other is not session:
                other.rest()
        loop = asyncio.get_running_loop()
        asked = loop.time()
        seen: list[float] = []

        def show_and_note(answer: Answer) -> None:
            assert show is not None
            seen.append(loop.time())
            show(answer)

        try:
            answer = await session.complete(
                cursor, selected, invoked=invoked, show=show_and_note if show else None
            )
        except BackendError as error:
            self._failed(error)
            return None
        if answer is not None:
            # Who sees it grow has waited for its beginning only.
            self._outcomes.answered(session, answer, (seen[0] if seen else loop.time()) - asked)
        return answer

    def _remember(
        self, session: Session, cursor: Position, answer: Answer, target: Target
    ) -> list[Suggestion]:
        """What there is to show of `answer`; it can be accepted from now on."""
        suggestions = [one for one in answer.suggestions if one.piece.text.strip()]
        for suggestion in suggestions:
            item = Sent(session, cursor, answer.place, suggestion.piece, target.typed)
            self._outcomes.sent(suggestion, item)
        return suggestions
