"""The same files typed twice: completed by us, and by llama.cpp's server as llama.vim drives it.

    python -m benchmarks.typing_replay --llama-server path/to/llama-server [FILE ...]

Both have the same weights (llama.cpp in Q8_0), and both get the same keys at the same times; a key that comes
while an answer is computed cancels or queues as each client does it. Sessions alternate, and a server that is
not asked is suspended. Accepted completions differ, so after one the keys do too; --no-accepts types all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from benchmarks import llama_server, llama_vim
from benchmarks.gguf_export import export_gguf
from benchmarks.llama_vim import LlamaVim
from benchmarks.processes import ROOT
from lsp_server.bench.machine import Machine, this_machine
from lsp_server.bench.typist import (
    Assistant,
    BackendAssistant,
    Quantiles,
    TypedKey,
    TypingSession,
    TypingSummary,
    Watch,
    replay,
    summarize,
    waits_by_key,
)
from lsp_server.languages import language_of
from lsp_server.settings import Settings
from model_runtime import convert, models_folder, open_backend
from model_runtime.api import Backend, ModelOptions, Usage

FILES = ("lsp_server/document.py", "lsp_server/trimming/trim.py")
SPLITTING = "superbpe"
"""Of llama.cpp's ways to split text, the one that encodes as our default model's does: 98 % of the tokens."""

P50_TARGET, P95_TARGET, SHARE_TARGET = 40.0, 150.0, 0.5


class Client(Protocol):
    """One of those who complete, ready to be typed at."""

    name: str

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        """A new one, for a session in `file`."""
        ...

    def costs(self) -> Sequence[Usage]:
        """What the requests of the latest session took."""
        ...

    async def start(self) -> None:
        """Be ready."""
        ...

    async def rest(self) -> None:
        """Take nothing from the other one."""
        ...


class Ours:
    """A model behind the seam, asked at every key."""

    name = "fimble"

    def __init__(self, options: ModelOptions, settings: Settings) -> None:
        self._backend: Backend = open_backend(options)
        self._settings = settings
        self._assistant: BackendAssistant | None = None

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        uri, language = file.absolute().as_uri(), language_of(file.name)
        self._assistant = BackendAssistant(self._backend, watch, self._settings, language=language, uri=uri)
        return self._assistant

    def costs(self) -> Sequence[Usage]:
        assert self._assistant is not None
        return self._assistant.costs

    async def start(self) -> None:
        await self._backend.load()

    async def rest(self) -> None:
        """The worker sleeps when nothing is asked."""


class Llama:
    """llama.cpp's server and llama.vim."""

    name = "llama.cpp + llama.vim"

    def __init__(self, server: llama_server.LlamaServer) -> None:
        self._server = server
        self._assistant: LlamaVim | None = None

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        self._assistant = LlamaVim(self._server.post, watch)
        return self._assistant

    def costs(self) -> Sequence[Usage]:
        assert self._assistant is not None
        return self._assistant.costs

    async def start(self) -> None:
        self._server.process.resume()

    async def rest(self) -> None:
        self._server.process.suspend()


@dataclass
class Typed:
    """All sessions of a client together."""

    keys: list[TypedKey]
    costs: list[Usage]

    @property
    def summary(self) -> TypingSummary:
        return summarize(self.keys)

    @property
    def computed_per_key(self) -> tuple[float, float]:
        """Tokens prefilled and decoded a keystroke, whether or not anybody saw what for."""
        prefilled = sum(cost.prompt_tokens - cost.reused_tokens for cost in self.costs)
        return prefilled / len(self.keys), sum(cost.decoded_tokens for cost in self.costs) / len(self.keys)


def main() -> int:
    """What the command line asks for."""
    arguments = _parser().parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # read when torch is imported, which is later
    files = [Path(name) for name in arguments.files or FILES]
    machine = this_machine()
    with ExitStack() as stack:
        clients: list[Client] = [Ours(ModelOptions(model=arguments.model), Settings())]
        if arguments.llama_server is None:
            _say("llama.cpp: skipped: give --llama-server")
        else:
            clients.append(_llama(arguments, stack))
        typed = asyncio.run(type_at(clients, files, arguments))
    if arguments.json:
        record = _record(typed, files, arguments, machine)
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(markdown(typed))
        names = ", ".join(file.name for file in files)
        theirs = arguments.llama_threads or arguments.threads
        sys.stdout.write(f"\n{names}; at most {arguments.threads} threads, llama.cpp with {theirs}; ")
        sys.stdout.write(f"seed {arguments.seed}; {machine}")
        sys.stdout.write("\n" if machine.load is None else f"; load {machine.load:.1f}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.typing_replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="what is typed (default: two of ours)")
    parser.add_argument("--llama-server", type=Path, metavar="PATH", help="llama.cpp's server")
    parser.add_argument("--model", metavar="MODEL", help="a GPTBigCode folder or name (default: ours)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="at most so many (default: 2)")
    parser.add_argument(
        "--llama-threads",
        type=int,
        metavar="N",
        help="for llama.cpp, if fewer make it quicker (default: as ours)",
    )
    parser.add_argument(
        "--characters", type=int, default=400, metavar="N", help="of each file (default: 400)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other passages, other intervals")
    parser.add_argument("--no-accepts", action="store_true", help="type all, so that both get equal keys")
    parser.add_argument(
        "--skip-idle", action="store_true", help="leave out waits in which nothing is computed"
    )
    parser.add_argument("--json", action="store_true", help="print one record")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "peers", metavar="DIR", help="where formats are kept"
    )
    return parser


def _llama(arguments: argparse.Namespace, stack: ExitStack) -> Client:
    """A server with the same weights."""
    folder, gguf = _exported(arguments.model, arguments.work)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    options = llama_vim.server_options(config["n_positions"])
    threads = arguments.llama_threads or arguments.threads
    server = llama_server.LlamaServer(arguments.llama_server, gguf, threads, options)
    stack.callback(server.close)
    server.process.suspend()
    return Llama(server)


def _exported(model: str | None, work: Path) -> tuple[Path, Path]:
    """The model as a transformers folder and as GGUF; kept in `work` as long as the model is the same."""
    from model_runtime.models import resolve

    source = resolve(model, models_folder())
    work.mkdir(parents=True, exist_ok=True)
    weights = max(source.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    folder = work / f"{source.name}-{weights.stat().st_size}-{int(weights.stat().st_mtime)}"
    if not folder.is_dir():
        convert(str(source), folder, to="hf")
    gguf = folder.with_suffix(".gguf")
    if not gguf.is_file():
        export_gguf(folder, gguf, "q8_0", splitting=SPLITTING)
    return folder, gguf


async def type_at(
    clients: Sequence[Client], files: Sequence[Path], arguments: argparse.Namespace
) -> dict[str, Typed]:
    """Every file at every client, by turns."""
    found = {client.name: Typed([], []) for client in clients}
    for number, file in enumerate(files):
        text = file.read_text(encoding="utf-8")
        for client in clients:
            await client.start()
            session = TypingSession(
                text,
                arguments.seed + number,
                characters=arguments.characters,
                accepts=not arguments.no_accepts,
            )
            watch = Watch()
            _say(f"{client.name} types in {file.name}")
            await replay(session, client.assistant(watch, file), watch, skip_idle=arguments.skip_idle)
            assert session.text == text, "a session comes to its file"
            found[client.name].keys += watch.keys
            found[client.name].costs += client.costs()
            await client.rest()
    return found


def markdown(typed: dict[str, Typed]) -> str:
    """A table with a column for each client, and the targets."""
    summaries = {name: each.summary for name, each in typed.items()}
    names = list(typed)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]

    def row(what: str, cells: Sequence[str]) -> None:
        lines.append(f"| {what} | " + " | ".join(cells) + " |")

    row("keystrokes", [f"{each.keys}" for each in summaries.values()])
    row("key to text, p50 / p95 ms", [_times(each.first_text_ms) for each in summaries.values()])
    row("key to a line, p50 / p95 ms", [_times(each.first_line_ms) for each in summaries.values()])
    if common := at_common_keys(typed):
        row("… where both showed some", [_times(each) for each in common])
    row("overtaken by the next key", [f"{each.overtaken_share:.1%}" for each in summaries.values()])
    row("answered with nothing", [f"{each.empty_share:.1%}" for each in summaries.values()])
    computed = [each.computed_per_key for each in typed.values()]
    row("tokens prefilled / decoded a key", [f"{before:.1f} / {after:.1f}" for before, after in computed])
    row("written by accepting", [f"{each.accepted_share:.1%}" for each in summaries.values()])
    lines += ["", *verdicts(summaries)]
    return "\n".join(lines) + "\n"


def at_common_keys(typed: dict[str, Typed]) -> list[Quantiles | None]:
    """The waits for text at the keys where every client showed some; nothing where keys were not the same."""
    first, *others = typed.values()
    if not others or any(
        [key.key for key in each.keys] != [key.key for key in first.keys] for each in others
    ):
        return []
    waits = [waits_by_key(each.keys) for each in typed.values()]
    common = [row for row in zip(*waits, strict=True) if None not in row]
    return [
        Quantiles.of([wait for wait in column if wait is not None]) for column in zip(*common, strict=True)
    ]


def verdicts(summaries: dict[str, TypingSummary]) -> list[str]:
    """Each target with the figure: hit or missed."""
    ours = summaries[Ours.name].first_text_ms
    if ours is None:
        return ["no text was shown"]
    lines = [_verdict("p50", ours.p50, P50_TARGET), _verdict("p95", ours.p95, P95_TARGET)]
    theirs = summaries[Llama.name].first_text_ms if Llama.name in summaries else None
    if theirs is not None:
        for name, mine, other in (("p50", ours.p50, theirs.p50), ("p95", ours.p95, theirs.p95)):
            share = mine / other
            word = "hit" if share <= SHARE_TARGET else "missed"
            lines.append(f"{name} {share:.2f} of {Llama.name}'s (target ≤ {SHARE_TARGET:g}): {word}")
    return lines


def _verdict(name: str, value: float, target: float) -> str:
    return f"{name} {value:.1f} ms (target ≤ {target:.0f} ms): {'hit' if value <= target else 'missed'}"


def _times(quantiles: Quantiles | None) -> str:
    return "–" if quantiles is None else f"{quantiles.p50:.1f} / {quantiles.p95:.1f}"


def _record(
    typed: dict[str, Typed], files: Sequence[Path], arguments: argparse.Namespace, machine: Machine
) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "files": [file.name for file in files],
        "threads": arguments.threads,
        "llama_threads": arguments.llama_threads or arguments.threads,
        "seed": arguments.seed,
        "characters": arguments.characters,
        "accepts": not arguments.no_accepts,
        "skip_idle": arguments.skip_idle,
        "clients": {
            name: {**asdict(each.summary), "computed_per_key": each.computed_per_key}
            for name, each in typed.items()
        },
        "verdicts": verdicts({name: each.summary for name, each in typed.items()}),
    }


def _say(line: str) -> None:
    sys.stderr.write(f"typing: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
