"""``fimble models``: lists models, and downloads one with `pull`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from typing import Final

from lsp_server.cli.options import Commands, progress_bar
from model_runtime import list_models, models_folder, pull_model
from model_runtime.api import ModelEntry, OpenBackend

_LEFT_OUT_FIRST: Final = ("LICENCE", "FAMILY", "FILLS IN", "SIZE")
"""Columns for which a narrow terminal has no room."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble models`` and ``fimble models pull``."""
    parser = commands.add_parser("models", help="list the models, or download one")
    parser.description = (
        "List the models that fimble knows: which are on this machine, and which fit it. A model fits that "
        "has room in the free memory and, on a CPU, takes at most 100 ms a token."
    )
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
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None  # no limit in a pipe
    for line in table(entries, width):
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


def table(entries: Sequence[ModelEntry], width: int | None) -> list[str]:
    """The models as lines of at most `width` characters; None means no limit.

    Less important columns are left out for that. Only a model's name may be wider.
    """
    rows = [_row(entry) for entry in entries]
    for number in range(len(_LEFT_OUT_FIRST) + 1):
        headings = [heading for heading in rows[0] if heading not in _LEFT_OUT_FIRST[:number]]
        lines = _columns([tuple(headings), *(tuple(row[heading] for heading in headings) for row in rows)])
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def _row(entry: ModelEntry) -> dict[str, str]:
    return {
        "NAME": entry.name,
        "FAMILY": entry.family or "?",
        "SIZE": _size(entry.size),
        "LICENCE": entry.licence or "?",
        "FILLS IN": _word(entry.fill_in_the_middle),
        "FITS": _fits(entry),
        "HERE": "yes" if entry.path else "no",
    }


def _fits(entry: ModelEntry) -> str:
    if entry.obstacle == "memory":
        return f"no: needs {_size(entry.needs)}, {_size(entry.free)} free"
    if entry.token_ms is None:
        return _word(entry.fits)
    milliseconds = max(1, round(float(f"{entry.token_ms:.2g}")))
    verdict = "too slow here" if entry.obstacle == "speed" else "yes"
    return f"{verdict}: ~{milliseconds:,} ms a token"


def _record(entry: ModelEntry) -> dict[str, object]:
    return {**vars(entry), "path": str(entry.path) if entry.path else None}


def _word(fact: bool | None) -> str:
    return {True: "yes", False: "no", None: "?"}[fact]


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
