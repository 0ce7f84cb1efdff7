"""Copilot's clients, from the folders that hold their sources, set up as `docs/editors.md` says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.e2e.terminal import Terminal
from tests.editors.guide import EDITORS, snippets
from tests.editors.neovim import Neovim
from tests.editors.packages import CannotInstall

SECTION: Final = "Copilot's clients"
KNOWING: Final = "tests.e2e.knowing"
"""A server whose model knows what is to be written: cheap, and sure of itself."""

_NEOVIM: Final = """
vim.opt.runtimepath:prepend("{client}")
vim.api.nvim_set_hl(0, "CopilotSuggestion", {{ ctermfg = 8 }})
vim.o.cmdheight = 6
{configuration}
"""
_EMACS: Final = """
(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil
      make-backup-files nil auto-save-default nil create-lockfiles nil)
(add-to-list 'load-path "{client}")
(require 'copilot)
(set-face-foreground 'copilot-overlay-face "color-244")
{configuration}
"""


def client_sources(name: str, variable: str, file: str) -> Path:
    """The folder that an environment variable names for the client `name`, in which `file` lies.

    Raises:
        CannotInstall: it names none; no registry that tests may use has the client.
    """
    folder = os.environ.get(variable)
    if not folder:
        raise CannotInstall(f"no {name}: {variable} names no folder with its sources")
    if not (Path(folder) / file).is_file():
        raise CannotInstall(f"no {name}: {variable} names {folder}, which has no {file}")
    return Path(folder)


def neovim_with_copilot(program: Path, client: Path, file: Path, settings: str = "") -> Neovim:
    """Neovim with copilot.lua, where `file` is open; `settings` stand in the place of the example's."""
    configuration, _ = snippets(EDITORS, SECTION)
    configuration = _with_settings(configuration, "maxTokens = 32", settings)
    return Neovim(program, _NEOVIM.format(client=client.as_posix(), configuration=configuration), file)


def emacs_with_copilot(program: Path, client: Path, folder: Path, file: Path, settings: str = "") -> Terminal:
    """Emacs with copilot.el, its own files in `folder`, where `file` is open; `settings` as for Neovim."""
    _, configuration = snippets(EDITORS, SECTION)
    configuration = _with_settings(configuration, ":maxTokens 32", settings)
    init = folder / "init.el"
    init.write_text(_EMACS.format(client=client.as_posix(), configuration=configuration), encoding="utf-8")
    command = [str(program), "-nw", "-Q", "-l", str(init), str(file)]
    return Terminal(command, HOME=str(folder), TERM="tmux-256color")


def _with_settings(configuration: str, example: str, settings: str) -> str:
    assert example in configuration
    return configuration.replace(example, settings or example)
