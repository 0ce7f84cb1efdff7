"""``fimble serve``: the language server, as editors start it."""

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
    parser = commands.add_parser("serve", help="the language server, as editors start it")
    parser.description = "Speak the Language Server Protocol, on standard input and output or a TCP port."
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--stdio", action="store_true", help="on standard input and output, as without it: clients may say so"
    )
    where.add_argument(
        "--tcp",
        metavar="[HOST:]PORT",
        help="listen for editors here instead; without HOST, for those on this machine only",
    )
    parser.add_argument(
        "--copilot",
        action="store_true",
        help="for clients of GitHub Copilot, such as copilot.lua and copilot.el: answer what they ask for "
        "beyond LSP, signing in too, on this machine alone",
    )
    add_model_options(parser)
    parser.set_defaults(command=_serve)
    return parser


def _serve(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    gc.disable()  # an editor waits; LSP's types are many objects to look through, and none of them is garbage
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
    print(f"fimble: listening on {host}:{port}; Ctrl-C ends it", file=sys.stderr, flush=True)
