"""The tasks of each suite: code with a gap, and the text that belongs there.

HumanEval (Chen et al., arXiv:2107.03374) and HumanEval-infilling (Bavarian et al., arXiv:2207.14255) are in
`data/` as they were published, under the MIT licence.
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
from model_runtime.evaluation.lines import Kind, draw_line_tasks, find_gaps
from model_runtime.evaluation.source_files import read_source_files

EVALUATION_SETS = Path(__file__).with_name("data")
"""The published sets, as JSONL files in sub-folders."""

INFILLING: dict[Suite, str] = {
    "single-line": "HumanEval-SingleLineInfilling.jsonl.gz",
    "multi-line": "HumanEval-MultiLineInfilling.jsonl.gz",
    "random-span": "HumanEval-RandomSpanInfilling.jsonl.gz",
}
KINDS: dict[Suite, Kind] = {"line-start": "whole line", "mid-line": "rest of line", "block": "block"}

DEFAULT_LINES = 1000
"""Tasks of a line suite, if no other number is asked for."""

MAX_TOKENS: dict[Suite, int] = {"single-line": 64, "mid-line": 64, "line-start": 64}
DEFAULT_MAX_TOKENS = 256

TO_FIRST_LINE = re.compile(r"\s*.*")
"""A text up to the end of its first line that is not blank."""


@dataclass(frozen=True)
class Task:
    """Code with a gap.

    Attributes:
        suite: the suite it belongs to.
        name: unique within the suite.
        prefix: the text before the gap.
        answer: the text that belongs there.
        suffix: the text after the gap.
        tests: code that the three together must pass, or "" if there are no tests.
    """

    suite: Suite
    name: str
    prefix: str
    answer: str
    suffix: str
    tests: str = ""

    @property
    def max_tokens(self) -> int:
        """Limit of a completion; an answer that needs more is missed."""
        return MAX_TOKENS.get(self.suite, DEFAULT_MAX_TOKENS)

    def program(self, written: str) -> str:
        """A program that fails unless `written` does what the task requires.

        If a single line is missing, only the first line of `written` is used.
        """
        if self.suite == "single-line":
            first = TO_FIRST_LINE.match(written)
            assert first is not None, "the pattern matches any text"
            written = first[0] + "\n"
        return f"{self.prefix}{written}{self.suffix}\n{self.tests}"


def read_tasks(suite: Suite, held_out: Path | None, sample: int | None, seed: int) -> tuple[list[Task], int]:
    """The tasks of a suite, or a sample of them, and how many there are in all.

    Args:
        suite: which one.
        held_out: source files; only line suites need them.
        sample: how many tasks; None for all, and for `DEFAULT_LINES` of a line suite.
        seed: of the sample.
    """
    if suite in KINDS:
        assert held_out is not None, "line suites need source files"
        texts = [file.text for file in read_source_files(held_out)]
        gaps = find_gaps(texts, KINDS[suite])
        lines = draw_line_tasks(gaps, sample or DEFAULT_LINES, seed)
        return [
            Task(suite, str(number), line.prefix, line.answer, line.suffix)
            for number, line in enumerate(lines)
        ], len(gaps)
    tasks = list(_infilling(suite) if suite in INFILLING else _human_eval())
    if sample is None or sample >= len(tasks):
        return tasks, len(tasks)
    return Random(seed).sample(tasks, sample), len(tasks)


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
