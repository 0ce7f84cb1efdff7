"""Completions for an editor: its requests to sessions, their answers to items, and what became of these.

{workspace, copilot} ▶ **handlers** ▶ {items, feedback, protocol} ▶ session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lsprotocol import types

from lsp_server.completion.feedback import Feedback, Sent
from lsp_server.completion.items import Target, item_usage
from lsp_server.completion.session import Answer, Session, Show, Suggestion
from lsp_server.document import Document, Position, Selection
from lsp_server.protocol import (
    DidPartiallyAcceptCompletionParams,
    DidShowCompletionParams,
    InlineCompletionList,
    InlineCompletionParams,
    position_of,
    range_of,
)
from model_runtime.api import BackendError, Usage

Aim = Callable[[Document, Position], Target]
"""Where what is found at a cursor goes, which is for the kind of request to say."""


@dataclass(frozen=True)
class Found:
    """What there is to show, perhaps nothing, and where it goes.

    `source` says who answered, if anybody, and `usage` what was computed since the last answer, if known.
    """

    suggestions: Sequence[Suggestion]
    target: Target
    source: Literal["memory", "model"] | None
    usage: Usage | None = None


class Completing:
    """Answers one editor's requests for completions.

    `sessions` are the open documents by URI. Where completions are not `enabled`, there is nothing to show.
    `progress` takes partial results. `failed` is told what the user can mend. With `tells_source` lists of
    items say whether they came from memory and what they cost, with `markdown` pop-ups show code as such.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        outcomes: Feedback,
        enabled: Callable[[], bool],
        progress: Callable[[types.ProgressParams], None],
        failed: Callable[[BackendError], None],
        *,
        tells_source: bool = False,
        markdown: bool = False,
    ) -> None:
        self._sessions = sessions
        self._outcomes = outcomes
        self._enabled = enabled
        self._progress = progress
        self._failed = failed
        self._tells_source = tells_source
        self._markdown = markdown

    async def inline(self, params: InlineCompletionParams) -> InlineCompletionList | None:
        """Ghost text; None, not an empty list, where a newer request has come.

        An editor hides what it shows when it gets an empty list, and keeps it when it gets None.
        """
        token, context = params.partial_result_token, params.context
        info = context.selected_completion_info
        selected = None if info is None else Selection(info.text, range_of(info.range))

        def show(found: Found) -> None:
            assert token is not None
            self._progress(types.ProgressParams(token, _inline_list(found)))

        found = await self.find(
            params.text_document.uri,
            position_of(params.position),
            partial(Target.inline, selected=selected),
            selected=selected,
            invoked=context.trigger_kind is types.InlineCompletionTriggerKind.Invoked,
            show=None if token is None else show,
        )
        if found is None:
            return None
        answer = _inline_list(found)
        if self._tells_source:
            answer.source = found.source
            answer.usage = None if found.usage is None else item_usage(found.usage)
        return answer

    async def popup(self, params: types.TextDocumentPositionParams) -> types.CompletionList | None:
        """A pop-up's items, or None where a newer request has come."""
        found = await self.find(params.text_document.uri, position_of(params.position), Target.word)
        if found is None:
            return None
        items = [found.target.popup_item(one, markdown=self._markdown) for one in found.suggestions]
        return types.CompletionList(is_incomplete=True, items=items)  # what fits changes with every key

    async def find(
        self,
        uri: str,
        position: Position,
        aim: Aim,
        *,
        selected: Selection | None = None,
        invoked: bool = False,
        show: Callable[[Found], None] | None = None,
    ) -> Found | None:
        """What there is to show at a place, or None where that is not known, whatever the reason.

        `show` is given it as it grows: what is seen can be accepted, before it is whole.
        """
        session = self._sessions.get(uri)
        if session is None:
            return None  # closed a moment ago, say: nothing to complete, and no mistake either
        cursor = session.document.clamp(position)
        target = aim(session.document, cursor)
        if not self._enabled():
            return Found((), target, None)

        def found_in(answer: Answer) -> Found:
            items = self._remember(session, cursor, answer, target)
            return Found(items, target, answer.source, answer.usage)

        answer = await self._complete(
            session,
            cursor,
            selected,
            invoked=invoked,
            show=None if show is None else lambda answer: show(found_in(answer)),
        )
        return None if answer is None else found_in(answer)

    def shown(self, params: DidShowCompletionParams) -> None:
        """The editor has drawn an item."""
        self.note_shown(params.item.id)

    def partly_accepted(self, params: DidPartiallyAcceptCompletionParams) -> None:
        """The editor has inserted a part of an item."""
        self.accept_part(params.item.id, params.accepted_length)

    def note_shown(self, id_: object) -> None:
        """The editor has drawn the item with this id."""
        self._outcomes.shown(id_)

    def accept(self, id_: object) -> None:
        """The editor has inserted the item with this id."""
        self._outcomes.accepted(id_)

    def accept_part(self, id_: object, length: int) -> None:
        """The editor has inserted so many UTF-16 units of the item with this id."""
        self._outcomes.partly_accepted(id_, length)

    def reject(self, id_: object) -> None:
        """The user has dismissed the item with this id."""
        self._outcomes.rejected(id_)

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
                other.cancel_background()
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
    ) -> tuple[Suggestion, ...]:
        """What there is to show of `answer`; it can be accepted from now on."""
        suggestions = tuple(one for one in answer.suggestions if one.piece.text.strip())
        for suggestion in suggestions:
            item = Sent(session, cursor, answer.cursor_text, suggestion.piece, target.typed)
            self._outcomes.sent(suggestion, item)
        return suggestions


def _inline_list(found: Found) -> InlineCompletionList:
    return InlineCompletionList([found.target.inline_item(one) for one in found.suggestions])
