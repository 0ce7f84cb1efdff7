"""The last step of the recipe: what a checkpoint has learnt, on packages that it never saw.

Lines are asked for through the same door that an editor's requests come through, with the file's real
text before and after; the answer counts when its first line is exactly the one that stood there.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import torch
from rich.progress import track
from tokenizers import Tokenizer

from model_runtime import Backend, CompletionRequest, ModelOptions, open_backend
from model_runtime.checkpoints import DEFAULT_NAME, default_models_folder, load, resolve
from model_runtime.training.corpus import SourceFile, read_files
from model_runtime.training.train import loss_of
from model_runtime.training.vocabulary import FIM_PAD, token_id

MOST_TOKENS = 48  # of an answer; a line that needs more is counted as missed
HELD_OUT_ROWS = 200
Kind = Literal["whole line", "rest of line"]


@dataclass(frozen=True)
class LineTask:
    """A line of code whose end, from the cursor on, was taken away."""

    kind: Kind
    prefix: str
    answer: str
    suffix: str


@dataclass(frozen=True)
class Report:
    """Exact match in shares of 1, the loss in nats a token; the floor always answers the commonest line."""

    model: str
    lines_each: int
    whole_line_exact_match: float
    whole_line_floor: float
    commonest_line: str
    rest_of_line_exact_match: float
    rest_of_line_floor: float
    held_out_loss: float

    def __str__(self) -> str:
        rows = (
            (f"held-out loss, nats a token ({HELD_OUT_ROWS} packed rows)", f"{self.held_out_loss:.3f}"),
            ("whole line, exact match", f"{self.whole_line_exact_match:.1%}"),
            (f"  floor: always {self.commonest_line!r}", f"{self.whole_line_floor:.1%}"),
            ("rest of line, exact match", f"{self.rest_of_line_exact_match:.1%}"),
            ("  floor: always the commonest rest", f"{self.rest_of_line_floor:.1%}"),
        )
        width = max(len(label) for label, _ in rows)
        lines = [f"{label:<{width}}  {value:>7}" for label, value in rows]
        return "\n".join([f"{self.model}, {self.lines_each} lines of each kind", *lines])


def evaluate(model: Path | None, run: Path, lines: int, seed: int) -> Report:
    """Measure a checkpoint folder (None: the default model) on the run's held-out packages.

    Writes the report to `evaluation.json` in the folder `run`.
    """
    files = list(read_files(run / "heldout.jsonl"))
    whole, rest = (line_tasks(files, kind, lines, seed) for kind in ("whole line", "rest of line"))
    commonest, whole_floor = floor(whole)
    whole_match, rest_match = asyncio.run(_measure_lines(model, whole, rest))
    report = Report(
        model=model.resolve().name if model else DEFAULT_NAME,
        lines_each=lines,
        whole_line_exact_match=whole_match,
        whole_line_floor=whole_floor,
        commonest_line=commonest,
        rest_of_line_exact_match=rest_match,
        rest_of_line_floor=floor(rest)[1],
        held_out_loss=held_out_loss(model, run / "heldout.npy"),
    )
    (run / "evaluation.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    return report


def line_tasks(files: Iterable[SourceFile], kind: Kind, count: int, seed: int) -> list[LineTask]:
    """`count` lines drawn from all lines of code in `files`."""
    random = Random(seed)
    places = [(file, place) for file in files for place in _code_lines(file.text)]
    tasks = []
    for file, (start, end) in random.sample(places, count):
        cursor = start if kind == "whole line" else random.randrange(start, end)
        tasks.append(LineTask(kind, file.text[:cursor], file.text[cursor:end], file.text[end:]))
    return tasks


def floor(tasks: list[LineTask]) -> tuple[str, float]:
    """The answer that is right most often, and how often it is: what knowing nothing else would score."""
    answer, count = Counter(task.answer.strip() for task in tasks).most_common(1)[0]
    return answer, count / len(tasks)


async def exact_match(backend: Backend, tasks: list[LineTask]) -> float:
    """The share of tasks whose answer is met exactly by the completion's first line."""
    return sum(await exactly_met(backend, tasks)) / len(tasks)


async def exactly_met(backend: Backend, tasks: list[LineTask]) -> list[bool]:
    """Of each task, whether the completion's first line is exactly its answer."""
    met = []
    for task in track(tasks, description=f"{tasks[0].kind}s"):
        request = CompletionRequest(task.prefix, task.suffix, max_tokens=MOST_TOKENS, language="python")
        text = ""
        async with aclosing(backend.complete(request)) as chunks:
            async for chunk in chunks:
                text += chunk.text
                if "\n" in text:
                    break
        met.append(text.split("\n")[0].rstrip() == task.answer.rstrip())
    return met


def held_out_loss(model: Path | None, rows_file: Path) -> float:
    """Nats a token on held-out packages, packed as in training."""
    folder = model or resolve(None, default_models_folder())
    loaded = load(folder, device=torch.device("cpu"), dtype=torch.float32)
    padding = token_id(Tokenizer.from_file(str(folder / "tokenizer.json")), FIM_PAD)
    rows = torch.from_numpy(np.load(rows_file)[:HELD_OUT_ROWS].astype(np.int64))

    def logits(batch: torch.Tensor) -> torch.Tensor:
        decoder = loaded.decoder
        return torch.stack([decoder.forward(row.tolist(), decoder.new_cache(), "all") for row in batch])

    with torch.inference_mode():
        parts = [
            loss_of(logits, row, padding)
            for row in track(rows.unsqueeze(1), description="held-out loss", total=len(rows))
        ]
    return float(torch.stack(parts).mean())


async def _measure_lines(model: Path | None, *kinds: list[LineTask]) -> list[float]:
    backend = open_backend(ModelOptions(str(model) if model else None, dtype="fp32"))
    try:
        return [await exact_match(backend, tasks) for tasks in kinds]
    finally:
        await backend.close()


def _code_lines(text: str) -> Iterator[tuple[int, int]]:
    """Start (after the indentation) and end, in characters, of lines that are neither blank, comment nor
    part of a docstring."""
    prose = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        code = line.strip()
        if code and not code.startswith("#") and number not in prose:
            yield start + len(line) - len(line.lstrip()), start + len(line.rstrip())
        start += len(line) + 1
