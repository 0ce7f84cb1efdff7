"""A typist made of code: types real files as a person does in an editor, and measures who completes them.

    session = TypingSession(text, seed=1, characters=300)   what is typed, when, into which text
    replay(session, assistant, watch)                       any completer at the other end of the keys
    summarize(watch.keys)                                   how long the typist looked at nothing

`passages`, `pairs`, `rhythm` and `session` are pure, and for a seed the same everywhere; `replay` has the
clock.
"""

from lsp_server.bench.typist.assistant import BackendAssistant
from lsp_server.bench.typist.latency import Quantiles, TypingSummary, summarize, waits, waits_by_key
from lsp_server.bench.typist.replay import Assistant, TypedKey, Watch, replay
from lsp_server.bench.typist.session import Edit, Ghost, Keystroke, TypingSession

__all__ = [
    "Assistant",
    "BackendAssistant",
    "Edit",
    "Ghost",
    "Keystroke",
    "Quantiles",
    "TypedKey",
    "TypingSession",
    "TypingSummary",
    "Watch",
    "replay",
    "summarize",
    "waits",
    "waits_by_key",
]
