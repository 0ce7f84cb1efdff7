"""The plugin under lazy.nvim, as its README says; a checkout of that is named in `FIMBLE_LAZY_NVIM`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.editors.conftest import skip
from tests.editors.guide import NEOVIM, snippets
from tests.editors.neovim import PLUGIN, SERVER, Neovim, lua_list, until
from tests.editors.test_neovim_screen import MAIN

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(180)]


@pytest.fixture
def lazy(request: pytest.FixtureRequest) -> Path:
    """The folder of lazy.nvim, which no registry of packages has."""
    folder = os.environ.get("FIMBLE_LAZY_NVIM")
    if not folder:
        skip(request, "lazy.nvim is not tested: no FIMBLE_LAZY_NVIM names a checkout of it")
    return Path(folder)


def test_lazy_sets_it_up_with_what_opts_says(nvim: Path, lazy: Path, tmp_path: Path) -> None:
    documented = snippets(NEOVIM, "Set up")[1]
    opts = f"opts = {{ cmd = {lua_list(SERVER)}, settings = {{ multiline = false }} }}"
    for words, instead in (
        ("/path/to/fimble/editor_clients/neovim", PLUGIN.as_posix()),
        ("opts = {}", opts),
    ):
        assert words in documented
        documented = documented.replace(words, instead)
    folders = f"root = '{tmp_path}/lazy', lockfile = '{tmp_path}/lock.json', state = '{tmp_path}/state.json'"
    init = (
        f"vim.opt.runtimepath:remove('{PLUGIN.as_posix()}')\n"
        f"vim.opt.runtimepath:prepend('{lazy}')\n"
        f"require('lazy').setup({{ {documented} }}, {{ {folders}, rocks = {{ enabled = false }} }})\n"
    )
    file = tmp_path / "main.py"
    file.write_text("import sys\n\n\n")
    with Neovim(nvim, init, file) as editor:
        editor.ready()
        editor.press("G", "A")
        editor.type(MAIN)
        ghost = editor.see_ghost()
        editor.press("Tab")
        until(lambda: MAIN not in editor.lines(), "accepted text")
        assert MAIN + ghost in editor.lines()
