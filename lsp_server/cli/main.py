"""The ``fimble`` command: parses the command line and runs a subcommand.

Errors are printed as one line on standard error, with exit status 2; ``--debug`` shows their tracebacks.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from lsp_server import __version__
from lsp_server.cli import (
    bench,
    complete,
    convert,
    doctor,
    evaluation,
    models,
    serve,
    stats,
    try_command,
    verify,
)
from lsp_server.cli.options import Command, Parser
from lsp_server.files import CommandError
from model_runtime import open_backend as open_local_backend
from model_runtime.api import BackendError, OpenBackend

_DESCRIPTION = """\
Code completion with a language model on your own machine: your code never leaves it.

To see completions now, run `fimble try`, a small editor for the terminal. Other
editors run `fimble serve`. `fimble complete` prints a single completion.
If something does not work, run `fimble doctor`."""

_EXAMPLES = """\
examples:
  fimble try                        try completions in a small editor for the terminal
  fimble doctor                     check the installation
  fimble complete app.py:12         print a completion at the end of line 12
  fimble complete app.py:12:5       … before the fifth character of line 12
  fimble models                     list the models, and which of them fit this machine
  fimble serve                      run the language server on stdin and stdout

Run `fimble COMMAND --help` for the options of a command."""


def main(argv: Sequence[str] | None = None, open_backend: OpenBackend = open_local_backend) -> int:
    """Run the command line `argv` and return its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may use a legacy encoding
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.debug else logging.WARNING,
        format="fimble: %(message)s",
        stream=sys.stderr,
    )
    command: Command = arguments.command
    try:
        return command(arguments, open_backend)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe; redirect stdout so that flushing it at exit does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, BackendError) as error:
        if arguments.debug:
            raise
        return _fail(str(error))
    except Exception as error:
        if arguments.debug:
            raise
        return _fail(f"{type(error).__name__}: {error} (a bug in fimble: --debug shows the traceback)")


def _fail(message: str) -> int:
    print("fimble:", " ".join(message.split()), file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """The parser for the whole command line."""
    parser = Parser(
        prog="fimble",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fimble {__version__}")
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks, and log more to standard error"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for each in (try_command, serve, complete, models, convert, verify, bench, evaluation, doctor, stats):
        command = each.add(commands)
        # Also accepted after the command's name, without resetting a --debug before it.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
    return parser
