"""From a cursor to suggestions: requests, sessions, the suggestion cache, items and feedback."""

from lsp_server.completion.cursor_text import indentation_below
from lsp_server.completion.feedback import Feedback
from lsp_server.completion.handlers import CompletionHandlers
from lsp_server.completion.items import Target
from lsp_server.completion.session import Answer, Session, Suggestion
from lsp_server.completion.suggester import SessionServices

__all__ = [
    "Answer",
    "CompletionHandlers",
    "Feedback",
    "Session",
    "SessionServices",
    "Suggestion",
    "Target",
    "indentation_below",
]
