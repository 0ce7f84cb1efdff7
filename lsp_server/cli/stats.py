"""``fimble stats``: how good and how quick completions have been on this machine."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from lsp_server.cli.options import Commands
from lsp_server.files import CommandError, write_text
from lsp_server.statistics import (
    FILE_NAME,
    KEPT_DAYS,
    Count,
    CountsLocked,
    CountStore,
    CountsUnusable,
    figures_by,
)
from model_runtime import data_folder
from model_runtime.api import OpenBackend

_DAYS: Final = 30
_NOTHING: Final = "nothing was counted {}: use fimble in an editor for a while, with the setting `metrics` on"


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble stats``."""
    parser = commands.add_parser("stats", help="how often completions are accepted, and how quick they are")
    parser.description = (
        "Show what fimble has counted on this machine: completions shown, accepted and kept, and how long "
        "they took. The counts never leave the machine, and hold neither code nor file names. The setting "
        "`metrics` turns counting off."
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=_DAYS,
        metavar="N",
        help=f"show the last N days, at most {KEPT_DAYS} (default: {_DAYS})",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one record for each day and model")
    form.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page with charts and tables")
    form.add_argument("--clear", action="store_true", help="delete all counts")
    parser.add_argument("--yes", action="store_true", help="with --clear: don't ask")
    parser.set_defaults(command=_stats)
    return parser


def _stats(arguments: argparse.Namespace, _: OpenBackend) -> int:
    store = CountStore(data_folder() / FILE_NAME)
    try:
        if arguments.clear:
            return _clear(store, asked=arguments.yes)
        since = date.today() - timedelta(days=arguments.days - 1)
        counts = store.read(since)
        older = not counts and bool(store.read())
    except (CountsLocked, CountsUnusable) as error:
        raise CommandError(str(error)) from error
    if arguments.json:
        for record in records(counts):
            print(json.dumps(record, ensure_ascii=False))
    elif not counts:
        print("fimble:", _NOTHING.format(f"in the last {arguments.days} days" if older else "yet"))
    elif arguments.html is not None:
        _write_page(counts, arguments.html, since)
    else:
        _print_table(counts)
    return 0


def records(counts: Mapping[Count, float]) -> list[dict[str, object]]:
    """What ``--json`` prints, a line each: the figures of a day and model."""
    days = figures_by(counts, lambda count: f"{count.day}\t{count.model}")
    return [
        {"day": key.partition("\t")[0], "model": key.partition("\t")[2], **figures.record()}
        for key, figures in days.items()
    ]


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= KEPT_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to {KEPT_DAYS}")
    return int(text)


def _clear(store: CountStore, *, asked: bool) -> int:
    if not asked:
        if not sys.stdin.isatty():
            raise CommandError("--clear deletes all counts: add --yes to confirm")
        if input(f"Delete all counts in {store.path}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("fimble: nothing was deleted")
            return 1
    store.clear()
    print("fimble: all counts are deleted")
    return 0


def _write_page(counts: Mapping[Count, float], path: Path, since: date) -> None:
    from lsp_server.statistics import page

    write_text(path, page(counts, since, date.today()))
    print(path)


def _print_table(counts: Mapping[Count, float]) -> None:
    from lsp_server.cli.stats_table import table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None  # no limit in a pipe
    print("\n".join(table(counts, width)))
