"""A real Neovim: on a terminal's screen in tmux, or without one, and driven over its RPC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import pynvim

from tests.editors import screen

ROOT: Final = Path(__file__).parents[2]
PLUGIN: Final = ROOT / "editor_clients" / "neovim"
SERVER: Final = (sys.executable, "-m", "lsp_server", "serve")
GHOST: Final = "90"
"""The colour that `INIT` gives ghost text, which nothing else on the screen has."""

INIT: Final = f"""
vim.opt.runtimepath:prepend("{PLUGIN.as_posix()}")
vim.o.swapfile, vim.o.shadafile, vim.o.laststatus = false, "NONE", 0
vim.opt.shortmess:append("I")
vim.o.expandtab, vim.o.shiftwidth, vim.o.termguicolors = true, 4, false
vim.api.nvim_set_hl(0, "FimbleGhost", {{ ctermfg = 8 }})
vim.api.nvim_set_hl(0, "ComplHint", {{ ctermfg = 8 }})
vim.api.nvim_set_hl(0, "Comment", {{ ctermfg = 2 }})
"""
"""A configuration with nothing of the user's, in which only ghost text is grey."""

_PATIENCE: Final = 40.0  # seconds; on busy cores a model takes a while to load
_INTERVAL: Final = 0.01

Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str, seconds: float = _PATIENCE) -> Found:
    """What `look` finds, once it finds something; `what` was waited for says the failure."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still no {what}")
        time.sleep(_INTERVAL)
    return found


def lua_list(words: Sequence[str]) -> str:
    """`words` as Lua writes a list."""
    return "{ " + ", ".join(f"[==[{word}]==]" for word in words) + " }"


class Neovim:
    """A Neovim in a terminal of tmux, where `init` has been run and `file` is open."""

    def __init__(self, program: Path, init: str, file: Path, *, rows: int = 20, columns: int = 110) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fimble-"))
        (self._folder / "init.lua").write_text(INIT + init, encoding="utf-8")
        self._socket = str(self._folder / "nvim.sock")
        self._tmux = ["tmux", "-S", str(self._folder / "tmux.sock"), "-f", os.devnull]
        command = [str(program), "--clean", "-u", str(self._folder / "init.lua"), "--listen", self._socket]
        size = ["-x", str(columns), "-y", str(rows)]
        environment = {
            "TERM": "tmux-256color",
            "XDG_STATE_HOME": str(self._folder / "state"),
            "PYTHONPATH": str(ROOT),
            "FIMBLE_DATA_DIR": os.environ.get("FIMBLE_DATA_DIR", str(self._folder / "data")),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),
        }
        settings = [
            word for name, value in environment.items() if value for word in ("-e", f"{name}={value}")
        ]
        self._run("new-session", "-d", *size, *settings, "-c", str(file.parent), *command, str(file))
        until(lambda: Path(self._socket).exists(), "Neovim")
        self.rpc = pynvim.attach("socket", path=self._socket)
        until(lambda: self.rpc.eval("v:vim_did_enter"), "Neovim that has read its configuration")

    def type(self, text: str) -> None:
        """Type `text` on the terminal's keyboard."""
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names for them, such as ``Escape``."""
        self._run("send-keys", *keys)

    def lua(self, code: str, *arguments: object) -> Any:
        """What `code` returns."""
        return self.rpc.exec_lua(code, *arguments)

    def screen(self, *, colours: bool = False) -> str:
        """What stands on the screen."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else []))

    def ghost(self) -> str:
        """The ghost text on the screen."""
        return screen.text_in(self.screen(colours=True), GHOST)

    def lines(self) -> list[str]:
        """The text of the current buffer."""
        return list(self.rpc.current.buffer[:])

    def ready(self) -> None:
        """Wait until the server has its model and the current buffer."""
        until(
            lambda: self.lua(
                "local server = require('fimble').app().server "
                "return server.status.state == 'ready' "
                "and server:client_of(vim.api.nvim_get_current_buf()) ~= nil"
            ),
            "model",
        )

    def see_ghost(self) -> str:
        """Wait for ghost text that grows no more."""

        def settled() -> str:
            idle = self.lua("return require('fimble').app().display.asked == nil")
            return self.ghost() if idle else ""

        try:
            return until(settled, "ghost text")
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{self.screen()}") from None

    def see(self, text: str) -> None:
        """Wait until `text` stands on the screen."""
        try:
            until(lambda: text in self.screen(), text)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{self.screen()}") from None

    def close(self) -> None:
        """End it, and all that belongs to it."""
        try:
            self.rpc.command("qall!", async_=True)
            self.rpc.close()
        finally:
            subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=10, check=False)
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Neovim:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], capture_output=True, encoding="utf-8", timeout=10, check=True
        )
        return done.stdout
