"""Handles an editor's completion requests: asks the document's session and returns its suggestions as items.

What the editor reports about the items later is passed on to `Feedback`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lsprotocol import types

from lsp_server.completion.feedback import Feedback, SentSuggestion
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

TargetFactory = Callable[[Document, Position], Target]
"""Computes the target of the suggestions at a cursor, which depends on the kind of request."""


@dataclass(frozen=True)
class CompletionResult:
    """The suggestions to show, perhaps none, and where they go.

    `source` is None if completions are disabled; `usage` is what was computed since the last answer, if
    known.
    """

    suggestions: Sequence[Suggestion]
    target: Target
    source: Literal["memory", "model"] | None
    usage: Usage | None = None


class CompletionHandlers:
    """Handles one editor's completion requests.

    `sessions` are the sessions of the open documents by URI. Unless `enabled` says so of a document's
    language, its answers are empty.
    `progress` sends partial results. `failed` is called with errors of the backend. With `tells_source`
    answers have a `source` and a `usage`; with `markdown` the documentation of pop-up items is Markdown.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        feedback: Feedback,
        enabled: Callable[[str], bool],
        progress: Callable[[types.ProgressParams], None],
        failed: Callable[[BackendError], None],
        *,
        tells_source: bool = False,
        markdown: bool = False,
    ) -> None:
        self._sessions = sessions
        self._feedback = feedback
        self._enabled = enabled
        self._progress = progress
        self._failed = failed
        self._tells_source = tells_source
        self._markdown = markdown

    async def inline(self, params: InlineCompletionParams) -> InlineCompletionList | None:
        """Items for ghost text; None, not an empty list, if a newer request has superseded this one.

        An editor hides its ghost text when it gets an empty list, and keeps it when it gets None.
        """
        token, context = params.partial_result_token, params.context
        info = context.selected_completion_info
        selected = None if info is None else Selection(info.text, range_of(info.range))

        def show(result: CompletionResult) -> None:
            assert token is not None
            self._progress(types.ProgressParams(token, _inline_list(result)))

        result = await self.complete_at(
            params.text_document.uri,
            position_of(params.position),
            partial(Target.inline, selected=selected),
            selected=selected,
            invoked=context.trigger_kind is types.InlineCompletionTriggerKind.Invoked,
            show=None if token is None else show,
        )
        if result is None:
            return None
        answer = _inline_list(result)
        if self._tells_source:
            answer.source = result.source
            answer.usage = None if result.usage is None else item_usage(result.usage)
        return answer

    async def popup(self, params: types.TextDocumentPositionParams) -> types.CompletionList | None:
        """Items for a pop-up; None if a newer request has superseded this one."""
        result = await self.complete_at(params.text_document.uri, position_of(params.position), Target.word)
        if result is None:
            return None
        items = [result.target.popup_item(one, markdown=self._markdown) for one in result.suggestions]
        return types.CompletionList(is_incomplete=True, items=items)  # ask again after every key

    async def complete_at(
        self,
        uri: str,
        position: Position,
        target_at: TargetFactory,
        *,
        selected: Selection | None = None,
        invoked: bool = False,
        show: Callable[[CompletionResult], None] | None = None,
    ) -> CompletionResult | None:
        """The suggestions at a position, or None if there is no answer, for whatever reason.

        `show` is called with partial results, whose suggestions can be accepted already.
        """
        session = self._sessions.get(uri)
        if session is None:
            return None  # the document may just have been closed, which is not an error
        cursor = session.document.clamp(position)
        target = target_at(session.document, cursor)
        if not self._enabled(session.document.language):
            return CompletionResult((), target, None)

        def result_of(answer: Answer) -> CompletionResult:
            items = self._remember(session, cursor, answer, target)
            return CompletionResult(items, target, answer.source, answer.usage)

        answer = await self._complete(
            session,
            cursor,
            selected,
            invoked=invoked,
            show=None if show is None else lambda answer: show(result_of(answer)),
        )
        return None if answer is None else result_of(answer)

    def shown(self, params: DidShowCompletionParams) -> None:
        """The editor has shown an item."""
        self.note_shown(params.item.id)

    def partly_accepted(self, params: DidPartiallyAcceptCompletionParams) -> None:
        """The editor has inserted part of an item."""
        self.accept_part(params.item.id, params.accepted_length)

    def note_shown(self, id_: object) -> None:
        """The editor has shown the item with this id."""
        self._feedback.shown(id_)

    def accept(self, id_: object) -> None:
        """The editor has inserted the item with this id."""
        self._feedback.accepted(id_)

    def accept_part(self, id_: object, length: int) -> None:
        """The editor has inserted the first `length` UTF-16 units of the item with this id."""
        self._feedback.partly_accepted(id_, length)

    def reject(self, id_: object) -> None:
        """The user has dismissed the item with this id."""
        self._feedback.rejected(id_)

    async def _complete(
        self,
        session: Session,
        cursor: Position,
        selected: Selection | None = None,
        *,
        invoked: bool = False,
        show: Show | None = None,
    ) -> Answer | None:
        """The session's answer, or None if it has none, for whatever reason."""
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
            # With partial results, the latency is that of the first one.
            self._feedback.answered(session, answer, (seen[0] if seen else loop.time()) - asked)
        return answer

    def _remember(
        self, session: Session, cursor: Position, answer: Answer, target: Target
    ) -> tuple[Suggestion, ...]:
        """The suggestions in `answer` with text to show; from now on they can be accepted."""
        suggestions = tuple(one for one in answer.suggestions if one.piece.text.strip())
        for suggestion in suggestions:
            item = SentSuggestion(
                session,
                cursor,
                answer.cursor_text,
                suggestion.piece,
                target.typed,
                line_end=target.line_end,
            )
            self._feedback.sent(suggestion, item)
        return suggestions


def _inline_list(result: CompletionResult) -> InlineCompletionList:
    return InlineCompletionList([result.target.inline_item(one) for one in result.suggestions])
