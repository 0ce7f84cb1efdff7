"""What several commands have in common: which model, where it runs, how it is asked."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias, get_args

from lsp_server.settings import Settings
from model_runtime.api import Device, Dtype, OpenBackend, Quantize

if TYPE_CHECKING:
    from rich.progress import Progress

Command: TypeAlias = Callable[[argparse.Namespace, OpenBackend], int]
"""Runs a command and returns its exit status."""

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of fimble does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fimble: {message} (`{self.prog} --help` explains)\n")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--device``, ``--dtype`` and ``--quantize``, which mean the same everywhere."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="MODEL", help="a checkpoint's folder, or a name of `fimble models` (default: ours)"
    )
    add_device_options(group)
    group.add_argument(
        "--quantize",
        choices=get_args(Quantize),
        default="auto",
        help="int8: its matrices in 8 bits; none: in the precision it computes with (auto: int8 on x86 CPUs)",
    )


def add_device_options(group: argparse._ActionsContainer) -> None:
    """Add ``--device`` and ``--dtype`` alone, for commands that are told their model otherwise."""
    group.add_argument("--device", choices=get_args(Device), default="auto", help="where it runs")
    group.add_argument("--dtype", choices=get_args(Dtype), default="auto", help="what it computes with")


def chosen_settings(arguments: argparse.Namespace) -> Settings:
    """What the command line sets, and our defaults for the rest."""
    names = {setting.name for setting in dataclasses.fields(Settings)}
    return Settings(**{name: value for name, value in vars(arguments).items() if name in names})


def chosen_model(arguments: argparse.Namespace) -> list[str]:
    """What `add_model_options` was given, as options for another command."""
    chosen = dataclasses.asdict(chosen_settings(arguments).model_options)
    return [f"--{name}={value}" for name, value in chosen.items() if value is not None]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error, gone when the work is done: standard output can be piped on.

    What is logged meanwhile is printed above it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    stderr = sys.stderr
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # it would leave an empty line in a log
    )
    with bar:
        streams = (each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler))
        logging_there = [handler for handler in streams if handler.stream is stderr]
        for handler in logging_there:
            handler.setStream(sys.stderr)  # which the bar has replaced by one that makes room
        try:
            yield bar
        finally:
            for handler in logging_there:
                handler.setStream(stderr)
