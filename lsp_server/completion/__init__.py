"""From a cursor to suggestions: requests, sessions, the suggestion cache, items and feedback."""

from lsp_server.completion.cursor_text import completion_request, indentation_below, place_at
from lsp_server.completion.feedback import Outcomes
from lsp_server.completion.generation import stream_completion
from lsp_server.completion.handlers import Completing
from lsp_server.completion.items import Target
from lsp_server.completion.session import Answer, Session, Suggestion
from lsp_server.completion.suggester import Surroundings

__all__ = [
    "Answer",
    "Completing",
    "Outcomes",
    "Session",
    "Suggestion",
    "Surroundings",
    "Target",
    "completion_request",
    "indentation_below",
    "place_at",
    "stream_completion",
]
