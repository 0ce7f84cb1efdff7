"""The line that says how all is."""

from __future__ import annotations

from lsp_server.terminal.completer import ServerState
from lsp_server.terminal.status_line import Latencies, server_problem, status_line

READY = ServerState("ready", model="default")
FIGURES = Latencies(last_ms=12.4, median_ms=9.6, from_memory=0.634)


def line(server: ServerState, width: int = 80, candidate: str = "", *, changed: bool = False) -> str:
    return status_line("folder/a.py", server, FIGURES, changed=changed, candidate=candidate, width=width)


def test_it_has_the_model_the_latency_and_what_came_from_memory() -> None:
    shown = line(READY, candidate="2 of 3", changed=True)
    assert shown.rstrip() == " a.py * │ default is ready │ 2 of 3 │ ghost 12 ms, median 10 ms │ memory 63 %"
    assert len(shown) == 80


def test_a_narrow_terminal_keeps_the_most_important() -> None:
    assert line(READY, 30) == " a.py │ default is ready".ljust(30)
    assert len(line(READY, 10)) == 10


def test_it_says_how_the_server_is() -> None:
    assert "loading 40 %" in line(ServerState("loading", share=0.4))
    assert "off (F2: on)" in line(ServerState("ready", model="default", enabled=False))
    assert "starting" in line(ServerState())


def test_what_is_wrong_is_told_with_what_to_do() -> None:
    error = ServerState("error", message="there is no model at x: name a folder")
    assert "error" in line(error)
    assert server_problem(error) == "there is no model at x: name a folder"
    assert "F5" in server_problem(ServerState("gone", message="killed"))
    assert server_problem(READY) == ""
