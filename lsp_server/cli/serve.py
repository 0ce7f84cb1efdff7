"""``fimble serve``: runs the language server, on stdio or TCP."""

from __future__ import annotations

import argparse
import gc
import sys

from lsp_server.cli.arguments import parse_address
from lsp_server.cli.options import Commands, add_model_options, chosen_settings
from lsp_server.files import CommandError
from model_runtime.api import OpenBackend


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble serve``."""
    parser = commands.add_parser("serve", help="run the language server for an editor")
    parser.description = "Run the language server on standard input and output, or on a TCP port."
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--stdio", action="store_true", help="use standard input and output (the default)")
    where.add_argument(
        "--tcp",
        metavar="[HOST:]PORT",
        help="listen for editors on a TCP port; without HOST, only on this machine",
    )
    parser.add_argument(
        "--copilot",
        action="store_true",
        help="support GitHub Copilot's clients, such as copilot.lua and copilot.el: also answer their own "
        "requests, including sign-in, all locally",
    )
    add_model_options(parser)
    parser.set_defaults(command=_serve)
    return parser


def _serve(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    gc.disable()  # for a faster start: the imports create many objects, none of which is garbage
    from lsp_server.cli.event_loop import run
    from lsp_server.server import serve_stdio, serve_tcp

    gc.freeze()
    gc.enable()
    settings, copilot = chosen_settings(arguments), arguments.copilot
    if arguments.tcp is None:
        return run(serve_stdio(settings, open_backend, copilot=copilot))
    host, port = parse_address(arguments.tcp)
    try:
        run(serve_tcp(host, port, settings, open_backend, _say_address, copilot=copilot))
    except OSError as error:
        raise CommandError(f"can't listen on {host}:{port} ({error.strerror}): choose another") from error
    return 0


def _say_address(host: str, port: int) -> None:
    print(f"fimble: listening on {host}:{port}; press Ctrl-C to stop", file=sys.stderr, flush=True)
