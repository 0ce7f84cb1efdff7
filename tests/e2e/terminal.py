"""A real terminal: a program in tmux, driven by keys and read from its screen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.e2e.child import ROOT

TMUX: Final = shutil.which("tmux")
_SECONDS: Final = 30
_STYLE: Final = re.compile(r"\x1b\[([0-9;]*)m|\x0e|\x0f")


class Terminal:
    """80 by 24 cells with `command` in them, which sees `variables` too; leaving the context ends it."""

    def __init__(self, command: Sequence[str], **variables: str) -> None:
        self._socket = f"fimble-{os.getpid()}-{time.monotonic_ns()}"
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX")}
        # The shell stays when the command has ended, so that what it said can be read.
        words = ["sh", "-c", '"$@"; echo "ended with $?"; read -r _', "sh", *command]
        self._tmux(
            *("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "24", *words),
            environment={**environment, "PYTHONPATH": str(ROOT), **variables},
        )

    def keys(self, *names: str) -> None:
        """Press keys, by their names in tmux."""
        self._tmux("send-keys", *names)

    def type(self, text: str) -> None:
        """Type `text`."""
        self._tmux("send-keys", "-l", text)

    def paste(self, text: str) -> None:
        """Paste `text`, marked as pasted."""
        self._tmux("set-buffer", text)
        self._tmux("paste-buffer", "-p", "-r")

    @property
    def screen(self) -> str:
        """The lines on the screen, whole where the terminal has broken them, without trailing spaces."""
        lines = self._tmux("capture-pane", "-p", "-J").splitlines()
        return "\n".join(line.rstrip() for line in lines)

    @property
    def line(self) -> str:
        """The line on the screen that the cursor is on, without trailing spaces."""
        row = self._tmux("display-message", "-p", "#{cursor_y}").strip()
        return self._tmux("capture-pane", "-p", "-S", row, "-E", row).rstrip()

    @property
    def styled(self) -> str:
        """The same with the sequences that style it."""
        return self._tmux("capture-pane", "-p", "-e")

    def ghost(self, style: str = "38;5;244") -> str:
        """What is shown in the style of ghost text, without empty lines and what indents the others."""
        shown, current = "", False
        pieces = _STYLE.split(self.styled)
        for text, codes in zip(pieces[::2], [None, *pieces[1::2]], strict=True):
            if codes not in (None, "49"):  # the background is nobody's
                current = codes == style
            shown += text if current else ""
        return "\n".join(line.strip() for line in shown.splitlines() if line.strip())

    def until(self, is_so: Callable[[Terminal], bool]) -> None:
        """Look at the screen until that is so."""
        deadline = time.monotonic() + _SECONDS
        while not is_so(self):
            assert time.monotonic() < deadline, f"after {_SECONDS} s the screen is\n{self.styled}"
            time.sleep(0.02)

    def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen, wherever its lines end."""

        def is_so(terminal: Terminal) -> bool:
            screen = terminal.screen
            return all(text in screen or text in " ".join(screen.split()) for text in texts)

        self.until(is_so)

    def shows_ghost(self, text: str) -> None:
        """Wait until exactly this is shown as ghost text."""
        self.until(lambda terminal: terminal.ghost() == text)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        assert TMUX is not None
        command = [TMUX, "-u", "-L", self._socket, *arguments]
        run = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", timeout=30, check=True, cwd=ROOT
        )
        return run.stdout
