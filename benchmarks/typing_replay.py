"""The same files typed twice: completed by us, and by llama.cpp's server as llama.vim drives it.

    python -m benchmarks.typing_replay --llama-server path/to/llama-server [FILE ...]

Ours is `fimble serve`, driven as an editor's client does it, with some files beside the typed one open too.
Both have the same weights (llama.cpp in Q8_0), and both get the same keys at the same times; a key that comes
while an answer is computed cancels or queues as each client does it. Sessions alternate; llama.cpp's server
is suspended while it is not asked, ours sleeps. Accepted completions differ, so after one the keys do too;
--no-accepts types all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from benchmarks import llama_server, llama_vim
from benchmarks.gguf_export import export_gguf, reencode_gguf
from benchmarks.llama_vim import LlamaVim
from benchmarks.processes import ROOT
from lsp_server.bench.machine import Machine, this_machine
from lsp_server.bench.typist import (
    Assistant,
    Editor,
    EditorAssistant,
    Quantiles,
    TypedKey,
    TypingSession,
    TypingSummary,
    Watch,
    neighbouring_files,
    replay,
    summarize,
    waits_by_key,
)
from lsp_server.cli.arguments import read_document
from lsp_server.document import Document
from lsp_server.files import CommandError
from model_runtime import convert, models_folder
from model_runtime.api import Usage

FILES = ("lsp_server/document.py", "lsp_server/trimming/trim.py")
SPLITTING = "superbpe"
"""Of llama.cpp's ways to split text, the one that encodes as our default model's does: 98 % of the tokens."""

LLAMAS_SENTINELS, SENTINEL_IDS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), (4, 5, 6)
"""llama.cpp asks only models with sentinels. One without gets three of its control tokens for that: what
it answers then means little, but takes as long as any other answer."""

CONTEXT = 4096
"""Tokens of the context of a GGUF model, which is what ours computes with at most."""

P50_TARGET, P95_TARGET, SHARE_TARGET = 40.0, 150.0, 0.5


class Client(Protocol):
    """One of those who complete, ready to be typed at."""

    name: str

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        """A new one, for a session in `file`."""
        ...

    async def start(self) -> None:
        """Be ready."""
        ...

    async def rest(self) -> None:
        """Take nothing from the other one."""
        ...

    async def stop(self) -> None:
        """Nothing is typed any more."""
        ...


class Ours:
    """`fimble serve` and an editor."""

    name = "fimble"

    def __init__(self, options: Sequence[str]) -> None:
        self._options = options
        self._editor: Editor | None = None
        self._open: dict[str, Document] = {}

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        assert self._editor is not None
        document = read_document(str(file))
        others = {}
        for path in neighbouring_files(file):
            with suppress(CommandError):  # it can't be read: then it is not open
                others[path.as_uri()] = read_document(str(path))
        for uri in self._open.keys() - others.keys():
            self._editor.close(self._open[uri])
        for uri in others.keys() - self._open.keys():
            self._editor.open(others[uri])
        self._open = others
        return EditorAssistant(self._editor, watch, document)

    async def start(self) -> None:
        if self._editor is None:
            self._editor = await Editor.start(self._options)

    async def rest(self) -> None:
        """Its threads sleep when nothing is asked."""

    async def stop(self) -> None:
        if self._editor is not None:
            await self._editor.stop()


class Llama:
    """llama.cpp's server and llama.vim."""

    name = "llama.cpp + llama.vim"

    def __init__(self, server: llama_server.LlamaServer) -> None:
        self._server = server

    def assistant(self, watch: Watch, file: Path) -> Assistant:
        return LlamaVim(self._server.post, watch)

    async def start(self) -> None:
        self._server.process.resume()

    async def rest(self) -> None:
        self._server.process.suspend()

    async def stop(self) -> None:
        """It is closed with all else that is open."""


@dataclass
class Typed:
    """All sessions of a client together."""

    keys: list[TypedKey] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    @property
    def summary(self) -> TypingSummary:
        return summarize(self.keys, self.usage)


def main() -> int:
    """What the command line asks for."""
    arguments = _parser().parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # which our server inherits
    files = [Path(name) for name in arguments.files or FILES]
    machine = this_machine()
    with ExitStack() as stack:
        clients: list[Client] = [Ours([f"--model={arguments.model}"] if arguments.model else [])]
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
    parser.add_argument(
        "--model", metavar="MODEL", help="a GPTBigCode folder or name, or a GGUF file (default: ours)"
    )
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
    gguf, context = _exported(arguments.model, arguments.work)
    options = llama_vim.server_options(context)
    threads = arguments.llama_threads or arguments.threads
    server = llama_server.LlamaServer(arguments.llama_server, gguf, threads, options)
    stack.callback(server.close)
    server.process.suspend()
    return Llama(server)


def _exported(model: str | None, work: Path) -> tuple[Path, int]:
    """The model as GGUF, kept in `work` as long as the model is the same, and its context length."""
    from model_runtime.models import resolve

    source = resolve(model, models_folder())
    work.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".gguf":
        gguf = work / f"{source.stem}-fim.gguf"
        if not gguf.is_file():
            reencode_gguf(source, gguf, sentinels=dict(zip(LLAMAS_SENTINELS, SENTINEL_IDS, strict=True)))
        return gguf, CONTEXT
    weights = max(source.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    folder = work / f"{source.name}-{weights.stat().st_size}-{int(weights.stat().st_mtime)}"
    if not folder.is_dir():
        convert(str(source), folder, to="hf")
    gguf = folder.with_suffix(".gguf")
    if not gguf.is_file():
        export_gguf(folder, gguf, "q8_0", splitting=SPLITTING)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return gguf, config["n_positions"]


async def type_at(
    clients: Sequence[Client], files: Sequence[Path], arguments: argparse.Namespace
) -> dict[str, Typed]:
    """Every file at every client, by turns."""
    found = {client.name: Typed() for client in clients}
    try:
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
                found[client.name].usage += watch.usage
                await client.rest()
    finally:
        for client in clients:
            await client.stop()
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
    row("tokens prefilled / decoded a key", [_tokens(each) for each in summaries.values()])
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


def _tokens(summary: TypingSummary) -> str:
    prefilled, decoded = summary.prefilled_mean, summary.decoded_mean
    return "–" if prefilled is None or decoded is None else f"{prefilled:.1f} / {decoded:.1f}"


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
        "clients": {name: asdict(each.summary) for name, each in typed.items()},
        "verdicts": verdicts({name: each.summary for name, each in typed.items()}),
    }


def _say(line: str) -> None:
    sys.stderr.write(f"typing: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
