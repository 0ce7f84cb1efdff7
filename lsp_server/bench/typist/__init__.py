"""A typist made of code: types real files as a person does in an editor, and measures who completes them.

    session = TypingSession(text, seed=1, characters=300)   what is typed, when, into which text
    replay(session, assistant, watch)                       any completer at the other end of the keys
    summarize(watch.keys, watch.usage)                      how long the typist looked at nothing

`passages`, `pairs`, `rhythm` and `session` are pure, and for a seed the same everywhere; `replay` has the
clock, and `editor` is an assistant: a client of ``fimble serve``.
"""

from lsp_server.bench.typist.editor import Editor, EditorAssistant, neighbours
from lsp_server.bench.typist.latency import Quantiles, TypingSummary, summarize, waits, waits_by_key
from lsp_server.bench.typist.replay import Assistant, TypedKey, Watch, replay
from lsp_server.bench.typist.session import Edit, Ghost, Keystroke, TypingSession

__all__ = [
    "Assistant",
    "Edit",
    "Editor",
    "EditorAssistant",
    "Ghost",
    "Keystroke",
    "Quantiles",
    "TypedKey",
    "TypingSession",
    "TypingSummary",
    "Watch",
    "neighbours",
    "replay",
    "summarize",
    "waits",
    "waits_by_key",
]
