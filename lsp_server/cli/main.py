"""The ``fimble`` command: parses, delegates, prints.

**cli** ▶ commands ▶ {serving, session, model_runtime}. Errors are one line on standard error and exit
status 2; ``--debug`` shows where they come from.
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
Code completion from a model on your own machine: nothing you type leaves it.

`fimble try` shows them in a small editor in the terminal; other editors start
`fimble serve`; `fimble complete` prints a completion without one; `fimble doctor`
finds out what is wrong when something does not work."""

_EXAMPLES = """\
examples:
  fimble try                        see completions now, in a small editor in the terminal
  fimble doctor                     is everything in place?
  fimble complete app.py:12         what comes at the end of line 12?
  fimble complete app.py:12:5       … and before its fifth character?
  fimble models                     which models are there, and which fit this machine?
  fimble serve                      speak the Language Server Protocol on stdin and stdout

`fimble COMMAND --help` explains a command."""


def main(argv: Sequence[str] | None = None, open_backend: OpenBackend = open_local_backend) -> int:
    """Run the command line `argv`; its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may be set to an older encoding
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
        # Whoever reads our output has enough; the interpreter must not fail on it again as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, BackendError) as error:
        if arguments.debug:
            raise
        return _fail(str(error))
    except Exception as error:
        if arguments.debug:
            raise
        return _fail(f"{type(error).__name__}: {error} (a mistake in fimble: --debug shows where)")


def _fail(message: str) -> int:
    print("fimble:", " ".join(message.split()), file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """Everything that can be said to `fimble`."""
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
        # Also after the command's name; what was said before it stands.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
    return parser
