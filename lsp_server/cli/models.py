"""``fimble models``: lists models, and downloads one with `pull`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from lsp_server.cli.options import Commands, progress_bar
from model_runtime import list_models, models_folder, pull_model
from model_runtime.api import ModelEntry, OpenBackend


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble models`` and ``fimble models pull``."""
    parser = commands.add_parser("models", help="list the models, or download one")
    parser.description = "List the models that fimble knows: which are on this machine, and which fit it."
    parser.add_argument("--json", action="store_true", help="print one record for each model")
    parser.set_defaults(command=_list)
    actions = parser.add_subparsers(metavar="pull NAME")
    pull = actions.add_parser("pull", help="download a model, or resume its download")
    pull.description = "Download a model. Ctrl-C interrupts it; the same command resumes."
    pull.add_argument("name", metavar="NAME", help="a listed model, or ORGANISATION/NAME on Hugging Face")
    pull.set_defaults(command=_pull)
    return parser


def _list(arguments: argparse.Namespace, _: OpenBackend) -> int:
    entries = list_models()
    if arguments.json:
        for entry in entries:
            print(json.dumps(_record(entry), ensure_ascii=False))
        return 0
    rows = [("NAME", "FAMILY", "SIZE", "LICENCE", "FILLS IN", "FITS", "HERE"), *map(_row, entries)]
    for line in _columns(rows):
        print(line)
    if sys.stdout.isatty():
        print(f"\nModels are kept in {models_folder()}; `fimble models pull NAME` downloads one.")
    return 0


def _pull(arguments: argparse.Namespace, _: OpenBackend) -> int:
    with progress_bar() as bar:
        task = bar.add_task(arguments.name, total=None)
        folder = pull_model(arguments.name, lambda done, total: bar.update(task, completed=done, total=total))
    if models_folder() not in folder.parents:
        print(f"fimble: `{arguments.name}` comes with fimble: there is nothing to download", file=sys.stderr)
    print(folder)
    return 0


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return (
        entry.name,
        entry.family or "?",
        _size(entry.size),
        entry.licence or "?",
        _word(entry.fill_in_the_middle),
        _word(entry.fits),
        "yes" if entry.path else "no",
    )


def _record(entry: ModelEntry) -> dict[str, object]:
    return {**vars(entry), "path": str(entry.path) if entry.path else None}


def _word(fact: bool | None) -> str:
    return {True: "yes", False: "no", None: "?"}[fact]


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as lines with aligned columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
