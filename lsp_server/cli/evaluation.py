"""``fimble eval``: how often a model knows what stood in code before it was taken away."""

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
Ask a model for what was taken away from code, as an editor asks, and count how often it writes it.

suites:
  single-line, multi-line, random-span   HumanEval-infilling: what is missing in the middle of a function
  line-start, mid-line, block            lines, ends of lines and bodies in packages that the default model
                                         has never seen; needs --held-out
  left-to-right                          HumanEval: a function's body, with nothing after it

An answer counts in two ways: by its first line that is not empty, and as a whole. Beside the model stand
two answerers that are none: `floor` always gives the commonest answer, `copies` copies a line that stood
elsewhere in the file.

Nothing that a model writes is run, unless you say --run-tests: then the programs that it completed are run
against the tests of HumanEval, each in a process of its own, in a temporary folder, for at most 10 seconds
and, but on Windows, in 1 GiB of memory. That guards against accidents, not against malice. Where a single
line is missing, the first line of an answer is run, and nothing that follows it.

Answers are kept: the same command goes on where it was interrupted, or asks only for what is new."""

_HELD_OUT = Path("runs") / "heldout.jsonl"


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble eval``."""
    parser = commands.add_parser(
        "eval",
        help="how often a model knows the answer: infilling, lines of code, HumanEval",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--suite",
        action="append",
        choices=get_args(Suite),
        help="only this one; may be repeated (default: all; those of HumanEval where nothing is held out)",
    )
    parser.add_argument(
        "--held-out",
        metavar="FILE",
        type=Path,
        help=f"where lines come from: the recipe's heldout.jsonl (default: {_HELD_OUT.as_posix()}, if there)",
    )
    parser.add_argument("--sample", type=int, metavar="N", help="ask N tasks of each suite, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draw other tasks (default: 0)")
    parser.add_argument("--run-tests", action="store_true", help="run what the model wrote against tests")
    parser.add_argument(
        "--against", action="append", default=[], metavar="MODEL", help="ask another model the same"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was answered before")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    add_model_options(parser)
    parser.set_defaults(command=_eval)
    return parser


def _eval(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from rich.console import Console

    if arguments.sample is not None and arguments.sample < 1:
        raise CommandError(f"--sample is {arguments.sample}: ask at least 1 task")
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
    """The figures for a person: a row for each who answered, suite by suite."""
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
