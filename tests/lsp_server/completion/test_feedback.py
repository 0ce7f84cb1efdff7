"""What became of a suggestion is seen from the text where the editor does not tell."""

from __future__ import annotations

import asyncio

import pytest

from lsp_server.completion.feedback import Feedback, SentSuggestion
from lsp_server.completion.session import Session
from lsp_server.completion.suggester import SessionServices
from lsp_server.document import Document, Edit, Position, Range
from lsp_server.settings import Settings
from lsp_server.statistics import Metrics
from tests.lsp_server.scripted import ScriptedBackend
from tests.lsp_server.virtual_time import in_virtual_time, settle


@pytest.mark.parametrize(
    ("inserted", "prefixes"),
    [("foo(1)", ["x = ", "x = foo(1)"]), ("foo", ["x = "]), ("foo(2)", ["x = "])],
    ids=["all of it", "a part of it", "something else"],
)
def test_an_accept_that_only_shows_in_the_text_begins_what_follows(
    inserted: str, prefixes: list[str]
) -> None:
    @in_virtual_time
    async def accept() -> None:
        backend, cursor = ScriptedBackend(), Position(0, 4)
        document = Document("x = ", uri="file:///a.py", language="python")
        services = SessionServices(backend, Settings(latency_budget_ms=None))
        session = Session(document, services)
        feedback = Feedback({document.uri: session}, Metrics(None), lambda: "model")
        services.on_insert = feedback.inserted
        asking = asyncio.create_task(session.complete(cursor))
        await settle()
        await backend.last.write("foo(1)")
        await backend.last.finish("length")
        answer = await asking
        assert answer is not None
        [suggestion] = answer.suggestions
        feedback.sent(
            suggestion, SentSuggestion(session, cursor, answer.cursor_text, suggestion.piece, typed="")
        )
        session.edit([Edit(inserted, Range(cursor, cursor))], 2)
        await settle()
        feedback.close()
        assert [stream.request.prefix for stream in backend.streams] == prefixes

    accept()
