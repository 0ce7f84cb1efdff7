"""The status line: file, model, latencies. In a narrow terminal the least important parts are left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from lsp_server.terminal.completer import ServerState

_MAX_NAME_WIDTH: Final = 24


@dataclass(frozen=True)
class Latencies:
    """Milliseconds from a key to ghost text, last and median; the share of answers from memory."""

    last_ms: float | None = None
    median_ms: float | None = None
    from_memory: float | None = None


def status_line(
    name: str, server: ServerState, latencies: Latencies, *, changed: bool, candidate: str, width: int
) -> str:
    """The status line, `width` cells wide; `candidate` says which of several is shown."""
    name = PurePath(name).name
    name = name if len(name) <= _MAX_NAME_WIDTH else name[: _MAX_NAME_WIDTH - 1] + "…"
    file = f"{name} *" if changed else name
    parts = [file, _server(server)]
    if latencies.last_ms is not None and latencies.median_ms is not None:
        parts.append(f"ghost {_ms(latencies.last_ms)}, median {_ms(latencies.median_ms)}")
    if latencies.from_memory is not None:
        parts.append(f"memory {100 * latencies.from_memory:.0f} %")
    if candidate:
        parts.insert(2, candidate)
    while len(parts) > 2 and len(_joined(parts)) > width:
        parts.pop()
    return _joined(parts)[:width].ljust(width)


def server_problem(server: ServerState) -> str:
    """What is wrong with the server and what to do; empty if it is fine."""
    if server.state == "gone":
        return f"the server has ended ({server.message}): F5 restarts it; your text is safe"
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
