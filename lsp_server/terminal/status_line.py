"""The line that says how all is: file, model, latency, memory. Pure.

screen ▶ **status_line**. What a narrow terminal has no room for is left out, the least important first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from lsp_server.terminal.completer import ServerState

_NAME_WIDTH: Final = 24


@dataclass(frozen=True)
class Figures:
    """From a key to its ghost text, the last time and as a median; the share that came from memory."""

    last_ms: float | None = None
    median_ms: float | None = None
    from_memory: float | None = None


def status_line(
    name: str, server: ServerState, figures: Figures, *, changed: bool, candidate: str, width: int
) -> str:
    """The line, as wide as the terminal; `candidate` says which of several is shown."""
    name = PurePath(name).name
    name = name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…"
    file = f"{name} *" if changed else name
    parts = [file, _server(server)]
    if figures.last_ms is not None and figures.median_ms is not None:
        parts.append(f"ghost {_ms(figures.last_ms)}, median {_ms(figures.median_ms)}")
    if figures.from_memory is not None:
        parts.append(f"memory {100 * figures.from_memory:.0f} %")
    if candidate:
        parts.insert(2, candidate)
    while len(parts) > 2 and len(_joined(parts)) > width:
        parts.pop()
    return _joined(parts)[:width].ljust(width)


def trouble(server: ServerState) -> str:
    """What is wrong with the server, and what to do; empty where nothing is."""
    if server.state == "gone":
        return f"the server has ended ({server.message}); F5 starts it again, the text is all here"
    return server.message if server.state == "error" else ""


def _server(server: ServerState) -> str:
    if not server.enabled:
        return "off (F2: on)"
    if server.state == "loading":
        return f"loading {100 * server.share:.0f} %"
    words = {"starting": "starting", "error": "error", "gone": "no server (F5: start it)"}
    return words.get(server.state) or f"{server.model or 'model'} is ready"


def _joined(parts: list[str]) -> str:
    return " " + " │ ".join(parts) + " "


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms"
