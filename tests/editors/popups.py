"""Editors that show completions as pop-ups, on a terminal, set up as `docs/editors.md` says."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.e2e.terminal import Terminal
from tests.editors.guide import EDITORS, put_on_path, snippets


class Editor(ABC):
    """An editor in a terminal, with all that belongs to it in `folder`."""

    name: str
    setting: str
    """The setting that the documentation has for an example."""
    one_line: str
    """The setting with which items have one line, beside one that is none."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.project = folder / "project"
        (self.project / ".git").mkdir(parents=True)  # a project's root, for editors that look for one
        put_on_path(folder / "bin", "fimble", "lsp_server")

    def start(self, settings: str = "") -> Terminal:
        """The editor's terminal, when its server is ready; `settings` stand in the place of the example."""
        configuration = "".join(self._snippets())
        assert self.setting in configuration
        if settings:
            configuration = configuration.replace(self.setting, settings)
        file = self.project / "main.py"
        file.write_text("import sys\n", encoding="utf-8")
        self.terminal = Terminal([*self._command(configuration), str(file)], **self._environment())
        return self.terminal

    @abstractmethod
    def ready(self) -> None:
        """Wait until there is a server that can be asked."""

    @abstractmethod
    def open(self, path: Path, line: int) -> None:
        """Open a file and go to a line's end, to type there."""

    @abstractmethod
    def shows_item(self, typed: str, rest: str) -> bool:
        """Whether an item is on the screen that goes on with `rest`."""

    @abstractmethod
    def accept(self) -> None:
        """Take the item that is shown."""

    @abstractmethod
    def dismiss(self) -> None:
        """Take the item away, and type on."""

    @abstractmethod
    def save(self) -> None:
        """Write the file, ready to open another one."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abstractmethod
    def _command(self, configuration: str) -> list[str]: ...

    def _snippets(self) -> list[str]:
        return snippets(EDITORS, self.name)

    def _environment(self) -> Mapping[str, str]:
        path = os.pathsep.join([str(self._folder / "bin"), os.environ["PATH"]])
        return {"PATH": path, "HOME": str(self._folder), "TERM": "tmux-256color"}


class Helix(Editor):
    """Its pop-up stands below the word and has the items' kinds."""

    name = "Helix"
    setting = "maxTokens = 32"
    one_line = "multiline = false, temprature = 0"

    def ready(self) -> None:
        self.terminal.shows("is ready")

    def open(self, path: Path, line: int) -> None:
        self.terminal.type(f":open {path}")
        self.terminal.keys("Enter")
        self.terminal.shows(path.name)
        self.terminal.type(f"{line}ggA")
        self.terminal.shows("INS")

    def shows_item(self, typed: str, rest: str) -> bool:
        item = re.escape(re.findall(r"\w*$", typed)[0] + rest)
        return re.search(rf" {item}\S* text$", self.terminal.screen, re.MULTILINE) is not None

    def accept(self) -> None:
        self.terminal.keys("Tab", "Enter")

    def dismiss(self) -> None:
        self.terminal.keys("Escape")
        self.terminal.shows("NOR")
        self.terminal.type("A")

    def save(self) -> None:
        self.terminal.keys("Escape")
        self.terminal.shows("NOR")
        self.terminal.type(":write")
        self.terminal.keys("Enter")

    def close(self) -> None:
        self.terminal.type(":buffer-close")
        self.terminal.keys("Enter")

    def _command(self, configuration: str) -> list[str]:
        folder = self._folder / ".config" / "helix"
        folder.mkdir(parents=True)
        (folder / "languages.toml").write_text(configuration, encoding="utf-8")
        # Progress tells when the server is ready, and hides what is said about mistakes in other settings.
        progress = "true" if self.setting in configuration else "false"
        (folder / "config.toml").write_text(f"[editor.lsp]\ndisplay-progress-messages = {progress}\n")
        return [str(self._program)]


class Emacs(Editor):
    """It shows what is left of the item behind the cursor."""

    name = "Emacs"
    setting = ":maxTokens 32"
    one_line = ":multiline :json-false :temprature 0"

    def ready(self) -> None:
        self.terminal.shows("Connected!")

    def open(self, path: Path, line: int) -> None:
        self.terminal.keys("C-x", "C-f")
        self.terminal.type(str(path))
        self.terminal.keys("Enter", "M-g", "g")
        self.terminal.type(str(line))
        self.terminal.keys("Enter")
        self.terminal.shows(path.name)

    def shows_item(self, typed: str, rest: str) -> bool:
        return typed + rest in self.terminal.line

    def accept(self) -> None:
        self.terminal.keys("Tab")

    def dismiss(self) -> None:
        self.terminal.keys("C-g")

    def save(self) -> None:
        self.terminal.keys("C-x", "C-s")

    def close(self) -> None:
        self.terminal.keys("C-x", "k", "Enter")

    def _snippets(self) -> list[str]:
        server, own, _ = super()._snippets()
        return [server, own]

    def _command(self, configuration: str) -> list[str]:
        folder = self._folder / ".emacs.d"
        folder.mkdir()
        (folder / "early-init.el").write_text(_EARLY_INIT, encoding="utf-8")
        (folder / "init.el").write_text(_INIT + configuration, encoding="utf-8")
        return [str(self._program), "-nw"]


class EmacsWithCompany(Emacs):
    """The same, but company shows it."""

    def accept(self) -> None:
        self.terminal.keys("Enter")

    def _snippets(self) -> list[str]:
        server, _, company = Editor._snippets(self)
        return ["(require 'company)\n", server, company]


_EARLY_INIT: Final = """
(setq native-comp-jit-compilation nil inhibit-startup-screen t)
"""
"""Nothing is compiled, which would take the processor from what is tested."""

_INIT: Final = """
(setq make-backup-files nil auto-save-default nil create-lockfiles nil)
(electric-pair-mode 1)
"""
"""Nothing is written beside what a test does, and brackets are closed, as Helix does."""
