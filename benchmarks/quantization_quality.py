"""The loss of quality by quantisation: the same model in fp32, in int8 and in 4 bits, on the same code.

    python -m benchmarks.quantization_quality --folder FOLDER [--model MODEL] [--windows 300] [--lines 500]

FOLDER has the `heldout.jsonl` that `python -m recipes.default_model corpus` writes: files of packages that
the default model was not trained on. Without `--folder`, the text is Python's standard library.

Two things are compared. The loss, over windows of text that fill the model's context: both see the same
tokens, so that the difference is far more certain than either loss. And exact match of lines and rests of
lines, completed greedily between the file's real text through the same interface as by an editor; p is the
probability of so uneven a split of the lines that only one gets right, if both were equally good.

A checkpoint that is stored in as few bits, or fewer, stays as it is: then there is little left to lose.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.healing import chance
from model_runtime import Backend, BackendError, ModelOptions, open_backend
from model_runtime.api import Quantize
from model_runtime.checkpoints import AnyDecoder, load
from model_runtime.decoding import MatrixFormat, as_logits
from model_runtime.evaluation import (
    Kind,
    LineTask,
    SourceFile,
    complete,
    draw_line_tasks,
    find_gaps,
    read_source_files,
)
from model_runtime.models import resolve
from model_runtime.tokenization.tokenizer import Tokenizer

MAX_WINDOW = 1024
"""Tokens in a window, if the context is longer."""

MAX_TOKENS = 48
"""Of an answer; a line that needs more is counted as missed."""

LINES: tuple[Kind, ...] = ("whole line", "rest of line")

FORMATS: tuple[Literal["int8", "int4"], ...] = ("int8", "int4")


@dataclass(frozen=True)
class Loss:
    """Nats a token; `difference` is relative to fp32's, and `error` its standard error over windows."""

    format: Quantize
    tokens: int
    fp32: float
    quantized: float
    difference: float
    error: float


@dataclass(frozen=True)
class Lines:
    """How many of `lines` are right with both, and how many only with one."""

    format: Quantize
    kind: Kind
    lines: int
    both: int
    fp32: int
    quantized: int


def files_of(folder: Path | None) -> list[SourceFile]:
    """The files to measure on.

    Raises:
        FileNotFoundError: there is none in `folder`.
    """
    if folder is None:
        library = Path(sysconfig.get_path("stdlib"))
        paths = sorted(path for path in library.glob("*.py") if path.stat().st_size > 2000)
        texts = ((path.name, path.read_text(encoding="utf-8")) for path in paths)
        return [SourceFile("python", name, text) for name, text in texts]
    heldout = folder / "heldout.jsonl"
    if not heldout.is_file():
        raise FileNotFoundError(
            f"there is no {heldout}: run `python -m recipes.default_model --folder {folder} corpus`, or "
            "leave out --folder for the standard library"
        )
    return list(read_source_files(heldout))


def windows_of(
    files: list[SourceFile], tokenizer: Tokenizer, length: int, count: int, seed: int
) -> Iterator[list[int]]:
    """`count` windows of `length` tokens, at random places of random files that are long enough."""
    random = Random(seed)
    long_enough = [file for file in files if len(file.text) > 8 * length]
    for _ in range(count):
        text = random.choice(long_enough).text
        start = random.randrange(len(text) - 7 * length)
        yield tokenizer.encode(text[start : start + 7 * length])[:length]


def loss_of(decoder: AnyDecoder, window: list[int]) -> float:
    """The mean over a window, in nats a token."""
    logits = as_logits(decoder.forward(window[:-1], decoder.new_cache(len(window)), "all"))
    return float(F.cross_entropy(torch.from_numpy(logits), torch.tensor(window[1:])))


def measure_loss(path: Path, files: list[SourceFile], count: int, seed: int) -> list[Loss]:
    def opened(matrices: MatrixFormat) -> AnyDecoder:
        return load(path, device="cpu", dtype="fp32", matrices=matrices).decoder

    model = load(path, device="cpu", dtype="fp32")
    length = min(model.decoder.config.context_length, MAX_WINDOW)
    tokenizer = Tokenizer(model.tokenizer, model.tokenizer_settings)
    windows = list(windows_of(files, tokenizer, length, count, seed))
    decoders = (model.decoder, *map(opened, FORMATS))
    losses = [
        [loss_of(decoder, window) for decoder in decoders]
        for window in track(windows, description="loss", transient=True)
    ]
    exact, *others = zip(*losses, strict=True)
    tokens = sum(map(len, windows)) - len(windows)
    return [_compared(name, tokens, exact, other) for name, other in zip(FORMATS, others, strict=True)]


def _compared(name: Quantize, tokens: int, exact: Sequence[float], quantized: Sequence[float]) -> Loss:
    differences = [ours - theirs for theirs, ours in zip(exact, quantized, strict=True)]
    return Loss(
        format=name,
        tokens=tokens,
        fp32=mean(exact),
        quantized=mean(quantized),
        difference=mean(differences) / mean(exact),
        error=stdev(differences) / math.sqrt(len(differences)) / mean(exact),
    )


def tasks_of(files: list[SourceFile], kind: Kind, count: int, seed: int) -> list[LineTask]:
    return draw_line_tasks(find_gaps([file.text for file in files], kind), count, seed)


async def is_exact(backend: Backend, task: LineTask) -> bool:
    """Whether the first line of the completion is exactly the answer."""
    text = await complete(backend, task.prefix, task.suffix, MAX_TOKENS)
    return text.split("\n")[0].rstrip() == task.answer.rstrip()


async def measure_lines(model: str | None, tasks: list[LineTask]) -> list[Lines]:
    async def met(options: ModelOptions) -> list[bool]:
        backend = open_backend(options)
        try:
            return [await is_exact(backend, task) for task in track(tasks, description=tasks[0].kind)]
        finally:
            await backend.close()

    exact = await met(ModelOptions(model, device="cpu", quantize="none"))
    found = []
    for name in FORMATS:
        pairs = list(zip(exact, await met(ModelOptions(model, device="cpu", quantize=name)), strict=True))
        found.append(
            Lines(
                format=name,
                kind=tasks[0].kind,
                lines=len(tasks),
                both=pairs.count((True, True)),
                fp32=pairs.count((True, False)),
                quantized=pairs.count((False, True)),
            )
        )
    return found


def table_of(losses: list[Loss], lines: list[Lines]) -> Table:
    table = Table("", "", "fp32", "quantised", "difference", box=None)
    for loss in losses:
        table.add_row(
            *(loss.format, f"loss, nats, {loss.tokens:,} tokens"),
            *(f"{loss.fp32:.4f}", f"{loss.quantized:.4f}", f"{loss.difference:+.2%} ± {loss.error:.2%}"),
        )
    for found in lines:
        exact, rounded = found.both + found.fp32, found.both + found.quantized
        table.add_row(
            *(found.format, f"{found.kind}, exact, of {found.lines:,}"),
            *(f"{exact / found.lines:.1%}", f"{rounded / found.lines:.1%}"),
            f"+{found.quantized} −{found.fp32}, p {chance(found.fp32, found.quantized):.2f}",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", help="a folder or a name; the default model where not given")
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--lines", type=int, default=500, help="of each kind; 0 measures the loss alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    try:
        files = files_of(options.folder)
        path = resolve(options.model)
        loss = measure_loss(path, files, options.windows, options.seed)
        lines = [
            found
            for kind in (LINES if options.lines else ())
            for found in asyncio.run(
                measure_lines(options.model, tasks_of(files, kind, options.lines, options.seed))
            )
        ]
    except (FileNotFoundError, BackendError) as error:
        Console(stderr=True, soft_wrap=True).print(f"quantization_quality: {error}", markup=False)
        return 2
    Console().print(table_of(loss, lines))
    if options.json:
        figures = {"loss": [asdict(each) for each in loss], "lines": [asdict(each) for each in lines]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
