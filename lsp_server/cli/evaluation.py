"""``fimble eval``: how often a model restores code that was removed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from lsp_server import __version__
from lsp_server.cli.options import Commands, add_model_options, chosen_settings, progress_bar
from lsp_server.files import CommandError, check_writable, write_text
from model_runtime import evaluate
from model_runtime.api import Evaluation, OpenBackend, Score, Suite, SuiteScores

if TYPE_CHECKING:
    from rich.table import Table

_DESCRIPTION = """\
Remove parts of code, ask a model for them as an editor does, and count how often it gives them back.

suites:
  single-line, multi-line, random-span   HumanEval-infilling: what is missing in the middle of a function
  line-start, mid-line, block            lines, ends of lines and bodies in packages that the default model
                                         has never seen; needs --held-out
  left-to-right                          HumanEval: a function's body, with nothing after it

An answer is scored by its first line that is not empty, and as a whole. Two baselines are scored with the
model: `floor` always gives the most common answer, `copies` copies another line of the file.

Code that a model writes is run only with --run-tests: then the completed programs are run against the tests
of HumanEval, each in its own process, in a temporary folder, for at most 10 seconds and, except on Windows,
in 1 GiB of memory. That guards against accidents, not against malice. If a single line is missing, only the
first line of an answer is run.

Answers are kept: the same command resumes after an interruption, and asks only for what is new."""

_HELD_OUT = Path("runs") / "heldout.jsonl"


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble eval``."""
    parser = commands.add_parser(
        "eval",
        help="measure how often a model completes code correctly",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--suite",
        action="append",
        choices=get_args(Suite),
        help="only this suite; may be repeated (default: all; without --held-out, those of HumanEval)",
    )
    parser.add_argument(
        "--held-out",
        metavar="FILE",
        type=Path,
        help=f"heldout.jsonl of the training recipe (default: {_HELD_OUT.as_posix()}, if it exists)",
    )
    parser.add_argument("--sample", type=int, metavar="N", help="only N random tasks of each suite")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of --sample (default: 0)")
    parser.add_argument("--run-tests", action="store_true", help="run the model's code against tests")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="MODEL",
        help="also evaluate MODEL; may be repeated",
    )
    parser.add_argument("--fresh", action="store_true", help="ignore kept answers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results to FILE")
    add_model_options(parser)
    parser.set_defaults(command=_eval)
    return parser


def _eval(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from rich.console import Console

    if arguments.sample is not None and arguments.sample < 1:
        raise CommandError(f"--sample is {arguments.sample}: it must be at least 1")
    if arguments.json:
        check_writable(arguments.json)
    held_out = arguments.held_out or (_HELD_OUT if _HELD_OUT.is_file() else None)
    options = chosen_settings(arguments).model_options
    with progress_bar() as bar:
        task = bar.add_task("opening", total=1.0)
        found = evaluate(
            [options, *(replace(options, model=model) for model in arguments.against)],
            arguments.suite or _suites(held_out),
            held_out=held_out,
            sample=arguments.sample,
            seed=arguments.seed,
            run_tests=arguments.run_tests,
            fresh=arguments.fresh,
            progress=lambda share, what: bar.update(task, completed=share, description=what),
            open_backend=open_backend,
        )
    Console().print(table(found))
    if arguments.json:
        write_text(arguments.json, json.dumps(record(found), indent=1, ensure_ascii=False) + "\n")
    return 0


def _suites(held_out: Path | None) -> list[Suite]:
    every: tuple[Suite, ...] = get_args(Suite)
    lines = {"line-start", "mid-line", "block"}
    return [suite for suite in every if held_out is not None or suite not in lines]


def record(found: Evaluation) -> dict[str, Any]:
    """What ``--json`` writes."""
    from lsp_server.bench import (
        this_machine,
    )  # with a typist, whom editors that start a server would wait for

    return {"fimble": __version__, "machine": asdict(this_machine()), **asdict(found)}


def table(found: Evaluation) -> Table:
    """The results as a table: a row for each model and baseline, suite by suite."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    made.add_column("suite")
    made.add_column("tasks", justify="right")
    made.add_column("answerer")
    for name in ("first line", "whole", "tests pass"):
        made.add_column(name, justify="right")
    for suite in found.suites:
        for row in _rows(suite):
            made.add_row(*map(escape, row))
    return made


def _rows(suite: SuiteScores) -> Iterator[tuple[str, ...]]:
    tasks = f"{suite.tasks:,}" if suite.tasks == suite.of else f"{suite.tasks:,} of {suite.of:,}"
    about: tuple[str, str] = (suite.suite, tasks)
    for name, score in suite.scores.items():
        shown = f"floor: {suite.floor!r}" if name == "floor" else name
        yield (*about, shown, *_shares(score))
        about = ("", "")


def _shares(score: Score) -> Iterator[str]:
    for share in (score.first_line, score.whole, score.passed):
        yield "–" if share is None else f"{share:.1%}"
