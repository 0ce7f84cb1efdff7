"""``fimble try``: a small editor in the terminal, to see completions without setting up an editor."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys

from lsp_server.cli.options import Commands, add_model_options, chosen_model
from lsp_server.files import CommandError
from model_runtime.api import OpenBackend

_DESCRIPTION = """\
Edit a file in the terminal, with completions in grey at the cursor, as an editor shows them.
It talks to `fimble serve` as any other editor does. Without FILE it opens a sample."""

_KEYS = """\
keys:
  Tab                 accept the ghost text (indent if there is none)
  Ctrl-Right          accept a word of it (move to the next word if there is none)
  Esc                 dismiss it
  Ctrl-Space, Alt-\\   ask for completions (there may be several)
  Alt-], Alt-[        show the next one, the previous one
  Ctrl-Z, Ctrl-Y      undo, redo
  Ctrl-S              save
  F2                  turn completions off or on
  F5                  restart the server if it has ended
  Ctrl-Q, Ctrl-C      quit"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble try``."""
    parser = commands.add_parser(
        "try",
        help="edit in the terminal, to see completions at once",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_KEYS,
    )
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE", nargs="?", help="the file to edit; created on saving")
    add_model_options(parser)
    parser.set_defaults(command=_try)
    return parser


def _try(arguments: argparse.Namespace, _: OpenBackend) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("`fimble try` needs a terminal: `fimble complete FILE:LINE` completes without one")
    if os.environ.get("TERM") == "dumb":
        raise CommandError("this terminal (TERM=dumb) can't draw a screen: use another one")
    # Imported here: `fimble serve` doesn't need it, and has to start fast.
    from lsp_server.client import ChildServer
    from lsp_server.terminal import ScreenUnusable, edit, open_file, sample

    file = sample() if arguments.file is None else open_file(arguments.file)
    logging.disable()  # log lines would be written over the screen
    try:
        edit(file, functools.partial(ChildServer.start, chosen_model(arguments)))
    except ScreenUnusable as error:
        raise CommandError(str(error)) from error
    return 0
