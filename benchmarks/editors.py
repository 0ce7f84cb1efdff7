"""How long after a key press does ghost text appear on the screen of a real editor?

    python -m benchmarks.editors --neovim

Code is typed into Neovim in a terminal, with the default model. After each key the terminal's screen is read
until it shows ghost text, or for 1.5 seconds. Reading the screen takes a few milliseconds, which are
included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import ROOT
from lsp_server.bench.machine import this_machine
from lsp_server.bench.typist import Quantiles
from tests.editors.install import SERIES, neovim
from tests.editors.neovim import SERVER, Neovim, lua_list
from tests.editors.packages import CannotInstall

KEYS = 100
INTERVAL = 0.2
"""Minimum seconds from one key to the next."""

TIMEOUT = 1.5
"""Seconds to wait for ghost text."""

ABOVE = ROOT / "lsp_server" / "document.py"
PASSAGE = '''    def line_at(self, number: int) -> str:
        """The line with this number."""
        return self.text[self.offset_at(Position(number, 0)) :]
'''


def measure(program: Path, keys: int) -> list[float]:
    """Type `keys` keys of the passage at the end of a file; the waits in ms, for keys with ghost text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "document.py"
        file.write_text(ABOVE.read_text(encoding="utf-8"), encoding="utf-8")
        setup = f"require('fimble').setup {{ cmd = {lua_list(SERVER)} }}"
        with Neovim(program, setup, file, rows=40, columns=120) as editor:
            editor.ready()
            editor.rpc.command("setlocal indentexpr= noautoindent")
            editor.press("G", "o")
            waits = [_wait(editor, key) for key in (PASSAGE * 2)[:keys]]
    return [wait for wait in waits if wait is not None]


def _wait(editor: Neovim, key: str) -> float | None:
    """Milliseconds from `key` to ghost text on the screen; None if none appears."""
    before = editor.rpc.eval("b:changedtick")
    started = time.perf_counter()
    if key == "\n":
        editor.press("Enter")
    else:
        editor.type(key)
    wait = None
    while time.perf_counter() < started + TIMEOUT:
        if editor.rpc.eval("b:changedtick") != before and editor.ghost():
            wait = (time.perf_counter() - started) * 1000
            break
    time.sleep(max(0.0, started + INTERVAL - time.perf_counter()))
    return wait


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(
        description="From a key press to ghost text on the screen, in real editors."
    )
    parser.add_argument("--neovim", action="store_true", required=True, help="in Neovim 0.11 and 0.12")
    parser.add_argument("--keys", type=int, default=KEYS, help=f"how many are typed (default: {KEYS})")
    arguments = parser.parse_args(argv)
    print(this_machine())
    print(f"{'':24} {'p50':>7} {'p95':>7}   keys with ghost text")
    for series in SERIES:
        try:
            program = neovim(series)
        except CannotInstall as why:
            print(f"Neovim {series}: {why}")
            continue
        waits = measure(program, arguments.keys)
        figures = Quantiles.of(waits)
        shown = f"{figures.p50:4.0f} ms {figures.p95:4.0f} ms" if figures else "–"
        print(f"Neovim {series:17} {shown}   {len(waits)} of {arguments.keys}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
