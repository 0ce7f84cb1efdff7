"""Ghost text that Neovim 0.12 draws itself, with the plugin and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.editors.guide import EDITORS, snippets
from tests.editors.neovim import SERVER, Neovim, lua_list, until
from tests.editors.test_neovim_screen import MAIN

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(180)]

WITHOUT_PLUGIN = snippets(EDITORS, "Neovim")[0].replace('{ "fimble", "serve" }', lua_list(SERVER))
PLUGIN_LEAVES_IT = f"""
require("fimble").setup {{
  cmd = {lua_list(SERVER)}, ghost_text = "native", settings = {{ multiline = false }}
}}
"""
ATTACHED = "local client = vim.lsp.get_clients({ bufnr = 0 })[1] return client ~= nil and client.initialized"


@pytest.fixture
def newest(nvim: Path) -> Path:
    """A Neovim that has ghost text."""
    if "0.11" in str(nvim):
        pytest.skip("Neovim 0.11 has no ghost text of its own")
    return nvim


@pytest.mark.parametrize("init", [WITHOUT_PLUGIN, PLUGIN_LEAVES_IT], ids=["without the plugin", "with it"])
def test_ghost_text_of_neovim_is_seen_and_accepted(newest: Path, tmp_path: Path, init: str) -> None:
    file = tmp_path / "main.py"
    file.write_text("import sys\n\n\n")
    with Neovim(newest, init, file) as editor:
        until(lambda: editor.lua(ATTACHED), "server")
        editor.press("G", "A")
        editor.type(MAIN)
        ghost = until(editor.ghost, "ghost text")
        editor.press("Tab")
        until(lambda: MAIN not in editor.lines(), "accepted text")
        assert MAIN + ghost.split("\n")[0] in editor.lines()


def test_a_word_of_it_is_accepted_and_it_is_dismissed(newest: Path, tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text("import sys\n\n\n")
    with Neovim(newest, PLUGIN_LEAVES_IT, file) as editor:
        editor.ready()
        editor.press("G", "A")
        editor.type(MAIN)
        ghost = until(editor.ghost, "ghost text")
        editor.press("M-Right")
        until(lambda: editor.lines()[-1] != MAIN, "accepted word")
        assert ghost.startswith(editor.lines()[-1].removeprefix(MAIN))
        editor.press("Escape", "c", "c")
        until(lambda: editor.lines()[-1] == "", "empty line")
        editor.type(MAIN)
        until(editor.ghost, "ghost text")
        editor.press("C-]")
        until(lambda: not editor.ghost(), "end of the ghost text")
