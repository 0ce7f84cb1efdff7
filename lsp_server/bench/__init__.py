"""``fimble bench``: a simulated typist, figures, and plots."""

from lsp_server.bench.figures import BenchFigures
from lsp_server.bench.machine import this_machine
from lsp_server.bench.plot import check_plot, draw
from lsp_server.bench.typist import BackendAssistant, TypedKey, TypingSession, Watch, replay

__all__ = [
    "BackendAssistant",
    "BenchFigures",
    "TypedKey",
    "TypingSession",
    "Watch",
    "check_plot",
    "draw",
    "replay",
    "this_machine",
]
