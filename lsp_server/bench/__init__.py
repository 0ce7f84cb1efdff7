"""``fimble bench``: a simulated typist, figures, and plots."""

from lsp_server.bench.figures import BenchFigures
from lsp_server.bench.machine import this_machine
from lsp_server.bench.plot import check_plot, draw
from lsp_server.bench.typist import Editor, EditorAssistant, TypingSession, Watch, neighbouring_files, replay

__all__ = [
    "BenchFigures",
    "Editor",
    "EditorAssistant",
    "TypingSession",
    "Watch",
    "check_plot",
    "draw",
    "neighbouring_files",
    "replay",
    "this_machine",
]
