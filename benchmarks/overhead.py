"""What a key costs beside the model in a file of 10,000 lines, and how soon an edit is heard meanwhile.

    python -m benchmarks.overhead [--model MODEL] [--json FILE]

Servers are driven over their pipes as an editor does it. One has a model that answers at once, so that what
a key takes there, an edit and a request, is everything but the model. `fimble serve` as it is gets an edit
and a request that needs no model, while its own model writes, while that of another process does, and while
none does. The difference of the first two is what it costs that the model runs in a thread of the server.
"""

from __future__ import annotations

import argparse
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lsp_server.bench.machine import this_machine
from model_runtime.api import Chunk, CompletionRequest, LoadProgress, ModelInfo, ModelOptions

ROOT: Final = Path(__file__).parents[1]
LINES: Final = 10_000
KEY_TARGET, HEARD_TARGET = 3.0, 10.0  # milliseconds: p95 of a key, p99 of being heard

KEY: Final = "a key, everything but the model"
IDLE: Final = "an edit is heard, no model writes"
BUSY: Final = "… while this server's model writes"
APART: Final = "… while another process's model writes"

_LONGEST: Final = 120.0
_TURN: Final = 50
_URI, _OTHER, _CLOSED = "file:///long.py", "file:///other.py", "file:///closed.py"
_TYPED: Final = "    result = self.compute(first, second, key=lambda item: item.name)\n"
_INSTANT: Final = (
    "import sys; from lsp_server.cli.main import main; from benchmarks.overhead import Instant; "
    "sys.exit(main(['serve'], Instant))"
)


class Instant:
    """A backend that answers at once, and never what the user goes on to type."""

    def __init__(self, options: ModelOptions) -> None:
        self._info = ModelInfo("instant", "none", 0, 2048, "cpu", "fp32", fill_in_the_middle=True)

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        return self._info

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk("value(1)")
        yield Chunk("\nnext = 1\n", "stop")

    async def close(self) -> None:
        pass


class Server:
    """A language server in a child process, and what it says, with the moment that it was heard."""

    def __init__(self, *command: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._ids = itertools.count(1)
        self._heard: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        self.generating = False
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self) -> None:
        """Initialize it, and wait until its model is loaded."""
        capabilities = {"experimental": {"fimbleStatus": True}}
        options = {"latencyBudgetMs": None, "maxTokens": 256, "metrics": False}
        self.request("initialize", {"capabilities": capabilities, "initializationOptions": options})
        self.send({"method": "initialized", "params": {}})
        while (params := self._next()[1].get("params", {})).get("state") != "ready":
            if params.get("state") == "error":
                raise SystemExit(params["message"])

    def request(self, method: str, params: object) -> float:
        """Ask something; the moment that the answer was heard."""
        id_ = self.ask(method, params)
        while True:
            moment, message = self._next()
            if message.get("id") == id_:
                return moment

    def ask(self, method: str, params: object) -> int:
        """Ask something, and go on."""
        id_ = next(self._ids)
        self.send({"id": id_, "method": method, "params": params})
        return id_

    def send(self, message: dict[str, object]) -> None:
        assert self._child.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._child.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._child.stdin.flush()

    def open(self, uri: str, text: str) -> None:
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.send({"method": "textDocument/didOpen", "params": {"textDocument": document}})

    def type(self, uri: str, line: int, character: int, text: str) -> None:
        place = {"line": line, "character": character}
        change = {"range": {"start": place, "end": place}, "text": text}
        params = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [change]}
        self.send({"method": "textDocument/didChange", "params": params})

    def rest(self) -> None:
        """Wait until its model has ended."""
        while self.generating:
            time.sleep(0.01)

    def close(self) -> None:
        self._child.kill()
        self._child.wait()

    def _next(self) -> tuple[float, dict[str, Any]]:
        return self._heard.get(timeout=_LONGEST)

    def _listen(self) -> None:
        out = self._child.stdout
        assert out is not None
        length = 0
        while header := out.readline():
            if header.startswith(b"Content-Length:"):
                length = int(header.split(b":")[1])
            if header.strip():
                continue
            message = json.loads(out.read(length))
            if message.get("method") == "fimble/status":
                self.generating = message["params"]["state"] == "generating"
            self._heard.put((time.perf_counter(), message))


@dataclass(frozen=True)
class Times:
    """Milliseconds, sorted."""

    milliseconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        return cls(tuple(sorted(1000 * one for one in seconds)))

    def percentile(self, percent: float) -> float:
        return self.milliseconds[min(int(len(self.milliseconds) * percent / 100), len(self.milliseconds) - 1)]

    def record(self) -> dict[str, float]:
        percentiles = {f"p{percent}": round(self.percentile(percent), 2) for percent in (50, 95, 99)}
        return {"count": len(self.milliseconds), **percentiles}


def at(uri: str, line: int, character: int, *, invoked: bool = False) -> dict[str, object]:
    """The parameters of a request for a completion."""
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1 if invoked else 2},
    }


def long_file() -> str:
    """The standard library's sources, one after another, up to 10,000 lines."""
    lines: list[str] = []
    for path in sorted(Path(subprocess.__file__).parent.glob("*.py")):
        lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) >= LINES:
            break
    return "\n".join(lines[:LINES]) + "\n"


def keys(server: Server, count: int) -> Iterator[float]:
    """Type in the middle of the file; for each key the time from the edit to the answer."""
    line, character = LINES // 2, 0
    for key in itertools.islice(itertools.cycle(_TYPED), count):
        started = time.perf_counter()
        server.type(_URI, line, character, key)
        line, character = (line + 1, 0) if key == "\n" else (line, character + 1)
        yield server.request("textDocument/inlineCompletion", at(_URI, line, character)) - started
        time.sleep(0.005)


def heard(server: Server, writer: Server | None, count: int) -> Iterator[float]:
    """Edit the file and ask what needs no model, while the `writer`'s does; the time until the answer."""
    line = 0
    while count:
        if writer is not None and not writer.generating:
            line += 7
            writer.ask("textDocument/inlineCompletion", at(_OTHER, line % LINES, 0, invoked=True))
            time.sleep(0.02)
        writing = writer is not None and writer.generating
        started = time.perf_counter()
        server.type(_URI, LINES // 3, 0, "x")
        took = server.request("textDocument/inlineCompletion", at(_CLOSED, 0, 0)) - started
        if writer is None or (writing and writer.generating):
            count -= 1
            yield took
        time.sleep(0.003)


def measure(model: str | None, count: int) -> dict[str, Times]:
    """All that is measured, by what it is, in turns: what else the machine does is in all of it."""
    text = long_file()
    serve = ("-m", "lsp_server", "serve", *(["--model", model] if model else []))
    instant, ours, another = servers = [Server("-c", _INSTANT), Server(*serve), Server(*serve)]
    found: dict[str, list[float]] = {KEY: [], IDLE: [], BUSY: [], APART: []}
    try:
        for server in servers:
            server.start()
            server.open(_URI, text)
            server.open(_OTHER, text)
        for _ in range(count // _TURN):
            found[KEY] += list(keys(instant, _TURN))
            for name, writer in ((IDLE, None), (BUSY, ours), (APART, another)):
                found[name] += list(heard(ours, writer, _TURN))
                if writer is not None:
                    writer.rest()
    finally:
        for server in servers:
            server.close()
    return {name: Times.of(times) for name, times in found.items()}


def main() -> int:
    """Measure, print a table, and fail where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="as in `fimble serve`")
    parser.add_argument("--count", type=int, default=500, help="of keys, and of edits")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    found = measure(arguments.model, arguments.count)
    sys.stdout.write(f"{'milliseconds':<40}{'p50':>8}{'p95':>8}{'p99':>8}{'count':>8}\n")
    for name, times in found.items():
        figures = "".join(f"{times.percentile(percent):8.2f}" for percent in (50, 95, 99))
        sys.stdout.write(f"{name:<40}{figures}{len(times.milliseconds):8}\n")
    if arguments.json:
        record = {"machine": str(this_machine()), **{name: one.record() for name, one in found.items()}}
        arguments.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    met = found[KEY].percentile(95) < KEY_TARGET and found[BUSY].percentile(99) < HEARD_TARGET
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
