"""A small editor in the terminal: what ``make demo`` shows.

    python editor_clients/terminal_demo.py [--model FOLDER] [FILE:LINE:COL]

It starts ``fimble serve`` as a child process, as any editor does, opens a file there without the text that
stands after the cursor on its line, and shows the ghost text that comes back, as it comes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pygls.exceptions import JsonRpcException

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

from lsp_server.cli.arguments import Location  # noqa: E402
from lsp_server.client import ChildServer, Connection, ServerGone  # noqa: E402
from lsp_server.files import CommandError  # noqa: E402

DEFAULT_FILE = ROOT / "lsp_server" / "document.py"
DEFAULT_PLACE = "self.language = "
LINES_ABOVE, LINES_BELOW = 4, 3


class DemoError(Exception):
    """The demonstration can't go on."""


class View:
    """The source around the cursor, with the ghost text in grey, or between marks where there is no grey."""

    def __init__(self, above: str, below: str) -> None:
        self._above = "\n".join(above.split("\n")[-1 - LINES_ABOVE :])
        self._below = "\n".join(below.split("\n")[: 1 + LINES_BELOW])
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        grey = self._live and "NO_COLOR" not in os.environ
        self._marks = ("\x1b[90m", "\x1b[0m") if grey else ("⟦", "⟧")
        self._rows = 0  # that the last picture takes on the terminal

    def show(self, ghost: str, *, final: bool = False) -> None:
        """Draw the picture; on a terminal over the last one, elsewhere only the `final` one."""
        if not (self._live or final):
            return
        if self._rows:
            sys.stdout.write(f"\x1b[{self._rows}F\x1b[J")
        start, end = self._marks
        sys.stdout.write(f"{self._above}{start}{ghost}{end}{self._below}\n")
        sys.stdout.flush()
        if self._live:
            columns = shutil.get_terminal_size().columns
            lines = f"{self._above}{ghost}{self._below}".split("\n")
            self._rows = sum(max(1, -(-len(line) // columns)) for line in lines)


class Demo:
    """One file, open in the editor, with a cursor."""

    def __init__(self, server: Connection, path: Path, above: str, below: str) -> None:
        self._server = server
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server.on_notification("window/showMessage", self._told)
        server.on_notification("window/logMessage", self._told)
        self._uri = path.absolute().as_uri()
        self._above, self._below = above, below

    async def open(self) -> None:
        """Introduce ourselves and open the file."""
        general = {"positionEncodings": ["utf-32"]}
        capabilities = {"general": general, "textDocument": {"inlineCompletion": {}}}
        await self._server.initialize(capabilities)
        document = {"uri": self._uri, "languageId": "python", "version": 1, "text": self._above + self._below}
        self._server.notify("textDocument/didOpen", {"textDocument": document})

    async def complete(self, show: Callable[[str], None]) -> tuple[str, float, float]:
        """Ask for a completion at the cursor: its text, and when its beginning and its end came, in ms.

        `show` is called with the text so far each time it has grown.
        """
        started = time.perf_counter()
        first: list[float] = []
        line, column = self._above.count("\n"), len(self._above) - self._above.rfind("\n") - 1

        def grown(params: Any) -> None:
            first.append(_milliseconds(started))
            show(self._ghost(params["value"], column))

        self._server.on_notification("$/progress", grown)
        answer = await self._server.ask(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self._uri},
                "position": {"line": line, "character": column},
                "context": {"triggerKind": 2},
                "partialResultToken": "ghost",
            },
        )
        total = _milliseconds(started)
        text = self._ghost(answer or {"items": []}, column)
        return text, first[0] if first else total, total

    def _told(self, params: Any) -> None:
        """The server says that the model is ready, or else what is wrong with it."""
        if not self.ready.done():
            if params["type"] == 1:
                self.ready.set_exception(DemoError(params["message"].removeprefix("fimble: ")))
            else:
                self.ready.set_result(params["message"].removeprefix("fimble: "))

    @staticmethod
    def _ghost(items: Any, column: int) -> str:
        """What is to be shown of an answer: an item may begin with the word before the cursor."""
        for item in items["items"]:
            text: str = item["insertText"]
            return text[column - item["range"]["start"]["character"] :]
        return ""


async def run(model: str | None, path: Path, above: str, below: str) -> None:
    """Show one completion, and how long it took."""
    view = View(above, below)
    started = time.perf_counter()
    server = await ChildServer.start(["--model", model] if model else [])
    try:
        demo = Demo(server, path, above, below)
        await demo.open()
        view.show("")
        ready = await demo.ready
        loaded = time.perf_counter() - started
        text, *cold = await demo.complete(view.show)
        view.show(text, final=True)
        _, *warm = await demo.complete(lambda text: None)
    finally:
        await server.stop()
    if not text:
        sys.stdout.write("(the model suggests nothing here)\n")
    sys.stdout.write(
        f"\nfirst text after {cold[0]:.0f} ms, all after {cold[1]:.0f} ms; "
        f"asked again, from memory: {warm[0]:.0f} and {warm[1]:.0f} ms\n"
        f"{ready}, {loaded:.1f} s after the server was started\n"
    )


def place(location: str | None) -> tuple[Path, str, str]:
    """The file to open, and its text above and below the cursor, less the rest of the cursor's line."""
    if location is None:
        text = DEFAULT_FILE.read_text(encoding="utf-8")
        cursor = text.index(DEFAULT_PLACE) + len(DEFAULT_PLACE)
        path = DEFAULT_FILE
    else:
        document, position = Location.parse(location).open()
        text, cursor = document.text, document.offset_at(position)
        path = Path(Location.parse(location).file)
    above, below = text[:cursor], text[cursor:]
    return path, above, below[below.find("\n") :] if "\n" in below else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; its exit status."""
    parser = argparse.ArgumentParser(description="Show a completion of a real file, as an editor would.")
    parser.add_argument(
        "location", nargs="?", metavar="FILE:LINE:COL", help="where (default: in fimble's own)"
    )
    parser.add_argument("--model", metavar="FOLDER", help="a checkpoint's folder (default: the one we bring)")
    arguments = parser.parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        asyncio.run(run(arguments.model, *place(arguments.location)))
    except KeyboardInterrupt:
        return 130
    except (DemoError, CommandError, JsonRpcException) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2
    except ServerGone as error:
        sys.stderr.write(f"demo: the server has ended: {error}\n")
        return 2
    return 0


def _milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
