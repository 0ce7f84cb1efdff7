"""Decontamination: what evaluation asks for must not be in the training data.

Left out are files that share a run of 13 words with an evaluation set, files and packages that name one, and
the repositories that RepoEval (Zhang et al., arXiv:2303.12570) is made of.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.corpus.packages import normalized

RUN = 13  # words
MIN_DISTINCT = 5  # words with a letter in a run: `0, 1, 2, …` identifies nothing
NAMED = re.compile(r"\b(mbpp|human[-_ ]?eval)", re.IGNORECASE)
REPOEVAL = frozenset(
    ("diffusers", "evaluate", "torchrl", "nerfstudio", "google-vizier", "vizier", "aws-fortuna", "fortuna",
     "trlx", "tracr", "imagen-pytorch", "lightweight-mmm", "redframes", "betty", "betty-ml", "patchcore",
     "omnivore")
)  # fmt: skip


@dataclass(frozen=True)
class Benchmarks:
    """The runs of words in evaluation sets."""

    runs: frozenset[tuple[str, ...]]
    beginnings: frozenset[str]
    """The first word of each run, to look up few runs of a file."""

    def reason_to_drop_package(self, name: str) -> str | None:
        """Why a package is left out whole, or None."""
        if normalized(name) in REPOEVAL:
            return "RepoEval"
        return "names a benchmark" if NAMED.search(name) else None

    def reason_to_drop(self, path: str, text: str) -> str | None:
        """Why a file is left out, or None."""
        if NAMED.search(path) or NAMED.search(text):
            return "names a benchmark"
        return "benchmark" if self._shares_a_run(text) else None

    def _shares_a_run(self, text: str) -> bool:
        words = _words(text)
        return any(
            word in self.beginnings and tuple(words[start : start + RUN]) in self.runs
            for start, word in enumerate(words[: 1 - RUN])
        )


def read_benchmarks(folder: Path) -> Benchmarks:
    """All evaluation sets, ``*.jsonl`` or ``*.jsonl.gz``, in a folder and those below it.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = sorted(path for pattern in ("*.jsonl", "*.jsonl.gz") for path in folder.rglob(pattern))
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no evaluation set (*.jsonl, *.jsonl.gz) to decontaminate the corpus with: "
            "name a folder with --evaluation-sets"
        )
    texts = {text for path in paths for text in _texts(path)}  # infilling sets repeat each program many times
    runs = frozenset(run for text in texts for run in _runs(text))
    return Benchmarks(runs, frozenset(run[0] for run in runs))


def _texts(path: Path) -> Iterator[str]:
    """The texts of a set's tasks: every string of a task, and its prompt joined with the solution."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            task = json.loads(line)
            parts = [task.get(name, "") for name in ("prompt", "canonical_solution", "suffix")]
            yield "".join(part for part in parts if isinstance(part, str))
            yield from (text for name, text in task.items() if isinstance(text, str) and name != "task_id")


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    for start in range(len(words) - RUN + 1):
        run = tuple(words[start : start + RUN])
        if len({word for word in run if any(map(str.isalpha, word))}) >= MIN_DISTINCT:
            yield run


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
