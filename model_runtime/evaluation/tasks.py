"""What a model is asked: places in code where something was taken away, and what stood there.

evaluating ▶ **tasks** ▶ lines. HumanEval (Chen et al., arXiv:2107.03374) and HumanEval-infilling (Bavarian et
al., arXiv:2207.14255) lie in `data/` as they were published, under the MIT licence.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from model_runtime.api import Suite
from model_runtime.evaluation.lines import Kind, LineTask, line_places, line_tasks
from model_runtime.evaluation.source_files import read_source_files

EVALUATION_SETS = Path(__file__).with_name("data")
"""The published sets, as JSONL files in sub-folders."""

INFILLING: dict[Suite, str] = {
    "single-line": "HumanEval-SingleLineInfilling.jsonl.gz",
    "multi-line": "HumanEval-MultiLineInfilling.jsonl.gz",
    "random-span": "HumanEval-RandomSpanInfilling.jsonl.gz",
}
KINDS: dict[Suite, Kind] = {"line-start": "whole line", "mid-line": "rest of line", "block": "block"}

LINES = 1000
"""Of each kind, where no other number is asked for."""

MOST_TOKENS: dict[Suite, int] = {"single-line": 64, "mid-line": 64, "line-start": 64}
MOST_TOKENS_ELSE = 256

TO_FIRST_LINE = re.compile(r"\s*.*")
"""A text up to the end of its first line that is not empty."""


@dataclass(frozen=True)
class Task:
    """A place in code.

    Attributes:
        suite: which it belongs to.
        name: its own within the suite.
        prefix: what stands before the place.
        answer: what stood there.
        suffix: what stands after it.
        tests: what a program of the three has to run through after them, or "" where there are no tests.
    """

    suite: Suite
    name: str
    prefix: str
    answer: str
    suffix: str
    tests: str = ""

    @property
    def max_tokens(self) -> int:
        """How much a model may write; an answer that needs more is missed."""
        return MOST_TOKENS.get(self.suite, MOST_TOKENS_ELSE)

    def program(self, written: str) -> str:
        """A program that fails where `written` does not do what is asked for.

        Where a single line is missing, what comes after the first is left out: nobody would take it.
        """
        if self.suite == "single-line":
            first = TO_FIRST_LINE.match(written)
            assert first is not None, "it matches anything"
            written = first[0] + "\n"
        return f"{self.prefix}{written}{self.suffix}\n{self.tests}"


def read_tasks(suite: Suite, held_out: Path | None, sample: int | None, seed: int) -> tuple[list[Task], int]:
    """The tasks of a suite, or a sample of them that follows from the seed; and how many there are in all.

    Args:
        suite: which.
        held_out: what the recipe's `corpus` step wrote; only kinds of lines need it.
        sample: how many tasks; None for all, of lines `LINES` of each kind.
        seed: of what is chosen.
    """
    if suite in KINDS:
        assert held_out is not None, "whoever asks for lines says of what"
        texts = [file.text for file in read_source_files(held_out)]
        places = line_places(texts, KINDS[suite])
        lines = line_tasks(places, KINDS[suite], sample or LINES, seed)
        return [_from_line(suite, number, line) for number, line in enumerate(lines)], len(places)
    tasks = list(_infilling(suite) if suite in INFILLING else _human_eval())
    if sample is None or sample >= len(tasks):
        return tasks, len(tasks)
    return Random(seed).sample(tasks, sample), len(tasks)


def _from_line(suite: Suite, number: int, line: LineTask) -> Task:
    return Task(suite, str(number), line.prefix, line.answer, line.suffix)


def _human_eval() -> Iterator[Task]:
    for row in _rows(EVALUATION_SETS / "human-eval" / "HumanEval.jsonl.gz"):
        yield Task("left-to-right", row["task_id"], row["prompt"], row["canonical_solution"], "", _tests(row))


def _infilling(suite: Suite) -> Iterator[Task]:
    for row in _rows(EVALUATION_SETS / "human-eval-infilling" / INFILLING[suite]):
        answer = row["canonical_solution"]
        yield Task(suite, row["task_id"], row["prompt"], answer, row["suffix"], _tests(row))


def _tests(row: dict[str, str]) -> str:
    return f"{row['test']}\ncheck({row['entry_point']})\n"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
