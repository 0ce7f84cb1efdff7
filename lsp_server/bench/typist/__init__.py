"""A simulated typist: types real files as a person does in an editor, and measures completion latency.

    session = TypingSession(text, seed=1, characters=300)   which keys are pressed, and when
    await replay(session, assistant, watch)                 press them in an editor, and record what it shows
    summarize(watch.keys, watch.usage)                      how long the typist waited for text

`passages`, `pairs`, `rhythm`, `keys` and `session` are deterministic for a seed and do not wait. `replay`
runs a session in real time; `editor` has an assistant that is a client of ``fimble serve``.
"""

from lsp_server.bench.typist.editor import Editor, EditorAssistant, neighbouring_files
from lsp_server.bench.typist.latency import Quantiles, TypingSummary, summarize, waits, waits_by_key
from lsp_server.bench.typist.replay import Assistant, TypedKey, Watch, replay
from lsp_server.bench.typist.session import Edit, GhostText, Keystroke, TypingSession

__all__ = [
    "Assistant",
    "Edit",
    "Editor",
    "EditorAssistant",
    "GhostText",
    "Keystroke",
    "Quantiles",
    "TypedKey",
    "TypingSession",
    "TypingSummary",
    "Watch",
    "neighbouring_files",
    "replay",
    "summarize",
    "waits",
    "waits_by_key",
]
