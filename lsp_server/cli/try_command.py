"""``fimble try``: a small editor in the terminal, to see completions without setting an editor up."""

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
Edit a file in the terminal, with completions as an editor shows them: in grey at the cursor, as they come.
It speaks to `fimble serve` as any other editor does. Without FILE it opens a few lines to try it on."""

_KEYS = """\
keys:
  Tab                 accept the ghost text (indent where there is none)
  Ctrl-Right          accept a word of it (go to the next word where there is none)
  Esc                 dismiss it
  Ctrl-Space, Alt-\\   ask for completions, of which there may be several
  Alt-], Alt-[        the next one, the previous one
  Ctrl-Z, Ctrl-Y      undo, redo
  Ctrl-S              save
  F2                  completions off, and on again
  F5                  start the server again, if it has ended
  Ctrl-Q, Ctrl-C      quit"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble try``."""
    parser = commands.add_parser(
        "try",
        help="a small editor in the terminal, to see completions at once",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_KEYS,
    )
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE", nargs="?", help="what to edit; made when it is saved")
    add_model_options(parser)
    parser.set_defaults(command=_try)
    return parser


def _try(arguments: argparse.Namespace, _: OpenBackend) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("`fimble try` needs a terminal: `fimble complete FILE:LINE` completes without one")
    if os.environ.get("TERM") == "dumb":
        raise CommandError("this terminal (TERM=dumb) has no screen to draw on: use another one")
    # Imported here, since `fimble serve` has no use for it and editors wait for its start.
    from lsp_server.client import ChildServer
    from lsp_server.terminal import ScreenUnusable, edit, open_file, sample

    file = sample() if arguments.file is None else open_file(arguments.file)
    logging.disable()  # what is logged would be written over the screen
    try:
        edit(file, functools.partial(ChildServer.start, chosen_model(arguments)))
    except ScreenUnusable as error:
        raise CommandError(str(error)) from error
    return 0
