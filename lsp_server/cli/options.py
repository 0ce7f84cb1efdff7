"""Options that several commands share, the argument parser, and the progress bar."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias, get_args

from lsp_server.settings import LEAST_MEMORY_MB, Settings
from model_runtime.api import Device, Dtype, OpenBackend, Quantize

if TYPE_CHECKING:
    from rich.progress import Progress

Command: TypeAlias = Callable[[argparse.Namespace, OpenBackend], int]
"""Runs a command and returns its exit status."""

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fimble: {message} (`{self.prog} --help` explains)\n")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ModelOptions`, which mean the same everywhere."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="MODEL", help="folder of a checkpoint, GGUF file or name listed by `fimble models`"
    )
    add_device_options(group)
    group.add_argument(
        "--quantize",
        choices=get_args(Quantize),
        default="auto",
        help="quantize the weights (auto: int8 on CPUs with the native engine)",
    )
    group.add_argument(
        "--memory-mb",
        type=_memory_mb,
        metavar="MB",
        help="the most memory for the native engine's KV cache (default: a quarter of what is free)",
    )


def add_device_options(group: argparse._ActionsContainer) -> None:
    """Add ``--device`` and ``--dtype`` alone, for commands that get the model as an argument."""
    group.add_argument("--device", choices=get_args(Device), default="auto", help="where the model runs")
    group.add_argument("--dtype", choices=get_args(Dtype), default="auto", help="its precision")


def _memory_mb(text: str) -> int:
    if not (text.isdecimal() and int(text) >= LEAST_MEMORY_MB):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of megabytes, at least {LEAST_MEMORY_MB}"
        )
    return int(text)


def chosen_settings(arguments: argparse.Namespace) -> Settings:
    """The settings given on the command line, and defaults for the rest."""
    names = {setting.name for setting in dataclasses.fields(Settings)}
    return Settings(**{name: value for name, value in vars(arguments).items() if name in names})


def chosen_model(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_model_options` as given, to pass to another command."""
    chosen = dataclasses.asdict(chosen_settings(arguments).model_options)
    return [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items() if value is not None]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error, which is removed at the end. Log lines are printed above it."""
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
            handler.setStream(sys.stderr)  # which the bar has replaced to print above it
        try:
            yield bar
        finally:
            for handler in logging_there:
                handler.setStream(stderr)
