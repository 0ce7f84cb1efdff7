"""What does a server's memory do while files are opened in turn?

    python -m benchmarks.memory [--model MODEL] [--memory-mb MB] [--files 30] [--places 5] [--plot FILE.png]

`fimble serve` is driven over its pipes as an editor does it. Files of the standard library are opened one
after another, and stay open unless `--close` is given. In each, completions are asked for at several places,
where the rest of the line is deleted. After each the server's resident memory is read; what it computes in
the background goes on. Memory is flat where the mean of the last third of the files is within 2 % of that
of the middle third. The exit status is 1 if it is not.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from lsp_server.bench import Editor, check_plot
from lsp_server.client import ChildServer
from lsp_server.document import Document, Edit, Position, Range
from model_runtime.models import resolve

LEAST_LINES: Final = 200
"""Lines of a file that is used."""

FLAT: Final = 0.02
WEIGHTS: Final = ("*.safetensors", "*.bin", "*.gguf")


@dataclass(frozen=True)
class Sample:
    """The server's memory after a file: `file` counts from 1, and is 0 when the model is ready."""

    file: int
    name: str
    seconds: float
    rss: int


def main() -> int:
    """Measure, print a table and whether memory is flat; returns the exit status."""
    arguments = _parser().parse_args()
    if arguments.plot:
        check_plot(arguments.plot)
    weights = weight_bytes(resolve(arguments.model))
    samples = asyncio.run(_measured(arguments))
    print("\n".join(summary(samples, weights)))
    if arguments.plot:
        draw(samples, weights, arguments.plot)
    return 0 if is_flat(samples) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder, GGUF file or name (default: the default model)")
    parser.add_argument("--memory-mb", type=int, metavar="MB", help="as for `fimble serve`")
    parser.add_argument("--files", type=int, default=30, help="number of files")
    parser.add_argument("--places", type=int, default=5, help="completions in each file")
    parser.add_argument("--close", action="store_true", help="close each file before the next one")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw the memory over time")
    return parser


async def _measured(arguments: argparse.Namespace) -> list[Sample]:
    """The samples: when the model is ready, and after each file."""
    options = [f"--model={arguments.model}"] if arguments.model else []
    options += [f"--memory-mb={arguments.memory_mb}"] if arguments.memory_mb else []
    server = await ChildServer.start(options)
    editor = Editor(server)
    try:
        await editor.initialize()
        await editor.wait_idle()
        process, started = psutil.Process(server.pid), time.monotonic()
        samples = [Sample(0, "(ready)", 0, resident(process))]
        print(f"{'file':<22}{'s':>7}{'MB':>8}{'+ MB':>7}\n{row(samples[0], samples[0].rss)}", flush=True)
        for number, document in enumerate(documents(arguments.files), 1):
            editor.open(document)
            rss = [resident(process) async for _ in completed(editor, document, arguments.places)]
            name = Path(document.uri).name
            if arguments.close:
                editor.close(document)
            samples.append(Sample(number, name, time.monotonic() - started, max(rss)))
            print(row(samples[-1], samples[0].rss), flush=True)
    finally:
        await editor.stop()
    return samples


async def completed(editor: Editor, document: Document, places: int) -> AsyncIterator[Position]:
    """Ask for completions at `places` of the document, one after another."""
    for number in range(places):
        line = document.line_count * (2 * number + 1) // (2 * places)
        while not document.line(line).strip() and line:
            line -= 1
        text = document.line(line)
        cursor = Position(line, len(text) - len(text.lstrip()) + len(text.strip()) // 2)
        rest = Range(cursor, Position(line, len(text)))
        editor.edit(document, Edit("", rest))
        await editor.complete(document, cursor, _ignore)
        await editor.wait_idle()
        yield cursor
        editor.edit(document, Edit(text[cursor.character :], Range(cursor, cursor)))


def _ignore(_: Sequence[Any]) -> None:
    """Partial results are not needed."""


def documents(count: int) -> list[Document]:
    """Modules of this Python's standard library with many lines, in order."""
    found: list[Document] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        if text.count("\n") >= LEAST_LINES:
            found.append(Document(text, uri=path.as_uri(), language="python", encoding="utf-32"))
        if len(found) == count:
            break
    return found


def resident(process: psutil.Process) -> int:
    """The resident memory of a process and its children, in bytes."""
    family = [process, *process.children(recursive=True)]
    return sum(int(member.memory_info().rss) for member in family)


def weight_bytes(path: Path) -> int:
    """The size of a model's weights on disk."""
    files = [path] if path.is_file() else [file for kind in WEIGHTS for file in path.glob(kind)]
    return sum(file.stat().st_size for file in files)


def thirds(samples: Sequence[Sample]) -> tuple[float, float]:
    """Mean memory in the middle and the last third of the files."""
    rss = [sample.rss for sample in samples if sample.file]
    third = max(1, len(rss) // 3)
    return statistics.fmean(rss[-2 * third : -third] or rss), statistics.fmean(rss[-third:])


def is_flat(samples: Sequence[Sample]) -> bool:
    """Whether memory does not grow after the first third of the files."""
    middle, last = thirds(samples)
    return abs(last - middle) <= FLAT * middle


def row(sample: Sample, ready: int) -> str:
    """A row of the table; `ready` is the memory that the server had at first."""
    grown = (sample.rss - ready) / 2**20
    return f"{sample.name:<22.21}{sample.seconds:7.0f}{sample.rss / 2**20:8.0f}{grown:7.0f}"


def summary(samples: Sequence[Sample], weights: int) -> list[str]:
    """Whether memory is flat, and its ratio to the weights."""
    ready, most = samples[0].rss, max(sample.rss for sample in samples)
    middle, last = thirds(samples)
    verdict = "flat" if is_flat(samples) else "NOT FLAT"
    return [
        "",
        f"{verdict}: {middle / 2**20:.0f} MB in the middle third, {last / 2**20:.0f} MB in the last "
        f"({100 * (last / middle - 1):+.1f} %)",
        f"weights {weights / 2**20:.0f} MB; when ready {ready / 2**20:.0f} MB, "
        f"{ready / weights:.1f} times as much; at most {most / 2**20:.0f} MB, {most / weights:.1f} times",
    ]


def draw(samples: Sequence[Sample], weights: int, path: Path) -> None:
    """Draw memory over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.step(
        [sample.seconds for sample in samples], [sample.rss / 2**20 for sample in samples], where="post"
    )
    axes.axhline(weights / 2**20, linestyle=":", label="weights")
    axes.set(xlabel="seconds since the model was ready", ylabel="resident memory (MB)", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
