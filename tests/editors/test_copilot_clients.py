"""A person with one of Copilot's clients: keys go in, and what stands on the screen is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.statistics.store import FILE_NAME, CountStore
from tests.e2e.knowing import TARGET
from tests.e2e.terminal import Terminal
from tests.editors.conftest import skip
from tests.editors.copilot import KNOWING, client_sources, emacs_with_copilot, neovim_with_copilot
from tests.editors.guide import put_on_path
from tests.editors.install import emacs
from tests.editors.neovim import Neovim, until
from tests.editors.packages import CannotInstall
from tests.editors.test_neovim_screen import MAIN
from tests.lsp_server.server.test_server import counted

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(90)]

HEAD, BODY, _, _, PRINT = TARGET.splitlines()
BEGINNING = "def area("
REST = [HEAD.removeprefix(BEGINNING), BODY]
PARTY = "print('🎉', "

StartNeovim = Callable[..., Neovim]
StartEmacs = Callable[..., Terminal]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a module be what the command `fimble` runs."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "data"))

    def put(module: str) -> None:
        put_on_path(tmp_path / "bin", "fimble", module)

    put(KNOWING)
    return put


@pytest.fixture
def start_neovim(
    request: pytest.FixtureRequest, nvim: Path, tmp_path: Path, server: object
) -> Iterator[StartNeovim]:
    """Starts a Neovim that types at the end of a file with this text, with copilot.lua."""
    try:
        client = client_sources("copilot.lua", "FIMBLE_COPILOT_LUA", "lua/copilot/init.lua")
    except CannotInstall as why:
        skip(request, str(why))
    started: list[Neovim] = []

    def start(text: str, settings: str = "") -> Neovim:
        editor = neovim_with_copilot(nvim, client, _file(tmp_path, text), settings)
        started.append(editor)
        until(lambda: editor.lua("return require('copilot.client').initialized"), "server")
        editor.press("G", "A")
        until(lambda: editor.rpc.eval("mode()") == "i", "insert mode")
        return editor

    yield start
    for editor in started:
        editor.close()


@pytest.fixture
def start_emacs(request: pytest.FixtureRequest, tmp_path: Path, server: object) -> Iterator[StartEmacs]:
    """Starts an Emacs that types at the end of a file with this text, with copilot.el."""
    try:
        client = client_sources("copilot.el", "FIMBLE_COPILOT_EL", "copilot.el")
        program = emacs()
    except CannotInstall as why:
        skip(request, str(why))
    started: list[Terminal] = []

    def start(text: str, settings: str = "") -> Terminal:
        terminal = emacs_with_copilot(program, client, tmp_path, _file(tmp_path, text), settings)
        started.append(terminal)
        terminal.shows("Copilot server started")
        terminal.keys("M->")
        return terminal

    yield start
    for terminal in started:
        with terminal:
            pass


def _file(folder: Path, text: str) -> Path:
    file = folder / "area.py"
    file.write_text(text, encoding="utf-8")
    return file


def counts(folder: Path) -> dict[str, float]:
    """What is counted, as far as it is written; it is every few seconds, and when the server ends."""
    return counted(CountStore(folder / "data" / FILE_NAME))


def shows(editor: Terminal, ghost: str) -> None:
    """Wait until just these words are shown as ghost text: Emacs' lines of it are not told apart."""
    editor.until(lambda _: words(editor.ghost()) == words(ghost))


def words(text: str) -> str:
    return " ".join(text.split())


def test_copilot_lua_shows_ghost_text_and_accepts_it(start_neovim: StartNeovim, tmp_path: Path) -> None:
    editor = start_neovim("")
    editor.type(BEGINNING)
    until(lambda: editor.ghost() == "\n".join(REST), "ghost text")
    editor.press("M-l")
    until(lambda: editor.lines() == [HEAD, BODY], "accepted text")
    until(lambda: counts(tmp_path).get("accepted") == 1, "count of it")
    assert counts(tmp_path)["saved"] == len("\n".join(REST))


def test_copilot_lua_keeps_it_while_it_is_typed(start_neovim: StartNeovim) -> None:
    editor = start_neovim("")
    editor.type(BEGINNING)
    until(editor.ghost, "ghost text")
    editor.type("width")
    until(lambda: editor.ghost() == "\n".join(REST).removeprefix("width"), "the rest of it")


def test_copilot_lua_completes_a_line_with_an_emoji(start_neovim: StartNeovim) -> None:
    editor = start_neovim(f"{HEAD}\n{BODY}\n\n\n")
    editor.press("Enter")
    editor.rpc.current.line = ""
    editor.type(PARTY)
    until(lambda: editor.ghost() == "area(3, 4))", "ghost text")
    editor.press("M-l")
    until(lambda: editor.lines()[-1] == PRINT, "accepted text")


def test_copilot_lua_cycles_and_dismisses(start_neovim: StartNeovim, tmp_path: Path) -> None:
    editor = start_neovim("")
    editor.type(BEGINNING)
    first = until(editor.ghost, "ghost text")
    editor.press("M-]")
    editor.see("(2/3)")
    assert editor.ghost() != first
    editor.press("M-[")
    editor.see("(1/3)")
    assert editor.ghost() == first
    editor.press("C-]")
    until(lambda: not editor.ghost(), "end of the ghost text")
    until(lambda: counts(tmp_path).get("shown") == 2, "count of it")
    assert counts(tmp_path).get("dismissed", 0) + counts(tmp_path).get("glanced", 0) == 2


def test_copilot_lua_is_signed_in_and_sees_the_models(start_neovim: StartNeovim) -> None:
    editor = start_neovim("")
    editor.rpc.command("Copilot status")
    editor.see("Online")
    editor.rpc.command("Copilot auth info")
    editor.see("user: fimble (status: OK)")
    editor.rpc.command("Copilot model list")
    editor.see("default [default] (default)")


def test_copilot_lua_has_settings_for_fimble(start_neovim: StartNeovim) -> None:
    editor = start_neovim("", "multiline = false")
    editor.type(BEGINNING)
    until(lambda: editor.ghost() == REST[0], "one line of ghost text")


def test_copilot_lua_shows_a_panel(start_neovim: StartNeovim) -> None:
    editor = start_neovim("")
    editor.type(BEGINNING)
    until(editor.ghost, "ghost text")
    editor.rpc.command("Copilot panel open")
    editor.see("3/3 solutions")
    editor.see(f"def area({REST[0]}")


def test_copilot_lua_shows_what_the_default_model_writes(
    start_neovim: StartNeovim, server: Callable[[str], None]
) -> None:
    server("lsp_server")
    editor = start_neovim("import sys\n\n\n")
    editor.type(MAIN)
    ghost = until(editor.ghost, "ghost text")
    editor.press("M-l")
    until(lambda: MAIN + ghost.split("\n")[0] in editor.lines(), "accepted text")


def test_copilot_el_shows_ghost_text_and_accepts_it(start_emacs: StartEmacs, tmp_path: Path) -> None:
    editor = start_emacs("")
    editor.type(BEGINNING)
    shows(editor, " ".join(REST))
    editor.keys("Tab")
    editor.until(lambda _: not editor.ghost())
    editor.shows(HEAD, BODY)
    _quit(editor)
    until(lambda: counts(tmp_path).get("accepted") == 1, "count of it")
    assert counts(tmp_path)["saved"] == len("\n".join(REST))


def test_copilot_el_accepts_a_word_and_then_the_rest(start_emacs: StartEmacs, tmp_path: Path) -> None:
    editor = start_emacs("")
    editor.type(BEGINNING)
    shows(editor, " ".join(REST))
    editor.keys("M-x")
    editor.type("copilot-accept-completion-by-word")
    editor.keys("Enter")
    shows(editor, " ".join(REST).removeprefix("width"))
    _quit(editor)
    until(lambda: counts(tmp_path).get("partly_accepted") == 1, "count of it")
    assert counts(tmp_path)["saved"] == len("width")


def test_copilot_el_completes_a_line_with_an_emoji(start_emacs: StartEmacs) -> None:
    editor = start_emacs(f"{HEAD}\n{BODY}\n\n\n")
    editor.type(PARTY)
    shows(editor, "area(3, 4))")
    editor.keys("Tab")
    editor.until(lambda _: not editor.ghost())
    editor.shows(PRINT)


def test_copilot_el_cycles_and_dismisses(start_emacs: StartEmacs) -> None:
    editor = start_emacs(BEGINNING)
    editor.keys("M-x")
    editor.type("copilot-complete")
    editor.keys("Enter")
    shows(editor, " ".join(REST))
    editor.keys("M-n")
    shows(editor, "value1")
    editor.keys("M-p")
    shows(editor, " ".join(REST))
    editor.keys("C-g")
    shows(editor, "")


def test_copilot_el_has_settings_for_fimble(start_emacs: StartEmacs) -> None:
    editor = start_emacs("", ":multiline :json-false")
    editor.type(BEGINNING)
    shows(editor, REST[0])


def test_copilot_el_is_signed_in_and_well(start_emacs: StartEmacs) -> None:
    editor = start_emacs("")
    editor.keys("M-x")
    editor.type("copilot-login")
    editor.keys("Enter")
    editor.shows("Already signed in as fimble")
    editor.keys("M-x")
    editor.type("copilot-diagnose")
    editor.keys("Enter")
    editor.shows("Copilot OK")


def test_copilot_el_shows_what_the_default_model_writes(
    start_emacs: StartEmacs, server: Callable[[str], None]
) -> None:
    server("lsp_server")
    editor = start_emacs("import sys\n\n\n")
    editor.type(MAIN)
    editor.until(lambda _: bool(editor.ghost()))
    first = editor.ghost().split()[0]
    editor.keys("Tab")
    editor.until(lambda _: not editor.ghost())
    editor.shows(MAIN + first)


def _quit(editor: Terminal) -> None:
    """End Emacs, without saving."""
    editor.keys("C-x", "C-c")
    editor.shows("Save file")
    editor.type("n")
    editor.shows("exit anyway")
    editor.type("yes")
    editor.keys("Enter")
    editor.shows("ended with 0")
