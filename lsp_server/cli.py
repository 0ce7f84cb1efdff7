"""The ``fimble`` command: parses, delegates, prints.

**cli** ▶ {serving, complete, doctor}. Errors are one line on standard error and exit status 2; ``--debug``
shows where they come from.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias, get_args

from lsp_server import __version__
from lsp_server.arguments import CommandError, Location, parse_address, read_text
from lsp_server.document import Document, Position
from lsp_server.server import OpenBackend
from lsp_server.session import completion_request
from lsp_server.settings import Settings
from model_runtime import open_backend as open_local_backend
from model_runtime.api import BackendError, Device, Dtype

_Command = Callable[[argparse.Namespace, OpenBackend], int]
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"

_DESCRIPTION = """\
Code completion from a model on your own machine: nothing you type leaves it.

Editors start `fimble serve`; `fimble complete` tries a completion without one;
`fimble doctor` finds out what is wrong when something does not work."""

_EXAMPLES = """\
examples:
  fimble doctor                     is everything in place?
  fimble complete app.py:12         what comes at the end of line 12?
  fimble complete app.py:12:5       … and before its fifth character?
  fimble serve                      speak the Language Server Protocol on stdin and stdout

`fimble COMMAND --help` explains a command."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of fimble does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fimble: {message} (`{self.prog} --help` explains)\n")


def main(argv: Sequence[str] | None = None, open_backend: OpenBackend = open_local_backend) -> int:
    """Run the command line `argv`; its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may be set to an older encoding
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.debug else logging.WARNING,
        format="fimble: %(message)s",
        stream=sys.stderr,
    )
    command: _Command = arguments.command
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


def _serve(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from lsp_server.serving import serve_stdio, serve_tcp

    settings = _settings(arguments)
    if arguments.tcp is None:
        return asyncio.run(serve_stdio(settings, open_backend))
    host, port = parse_address(arguments.tcp)
    try:
        asyncio.run(serve_tcp(host, port, settings, open_backend, _say_address))
    except OSError as error:
        raise CommandError(f"can't listen on {host}:{port} ({error.strerror}): choose another") from error
    return 0


def _say_address(host: str, port: int) -> None:
    print(f"fimble: listening on {host}:{port}; Ctrl-C ends it", file=sys.stderr, flush=True)


def _complete(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from lsp_server.complete import complete
    from lsp_server.trim import Trim

    document, position = _cursor(arguments)
    settings = _settings(arguments)
    request = dataclasses.replace(completion_request(document, position, settings), seed=arguments.seed)
    trim = None if arguments.raw else Trim(request.prefix, request.suffix)
    backend = open_backend(settings.model_options)
    out = None if arguments.json else sys.stdout

    async def run() -> None:
        record = await complete(backend, request, trim, out)
        await backend.close()  # but not after Ctrl-C, which would have to wait for a model that is loading
        if arguments.json:
            print(record.to_json())
        elif sys.stdout.isatty():
            print()

    asyncio.run(run())
    sys.stdout.flush()
    return 0


def _cursor(arguments: argparse.Namespace) -> tuple[Document, Position]:
    """The text to complete in, and where."""
    if arguments.location is not None:
        if arguments.prefix_file or arguments.suffix_file:
            raise CommandError("give either FILE:LINE:COL or --prefix-file and --suffix-file, not both")
        return Location.parse(arguments.location).open()
    if arguments.prefix_file is None:
        raise CommandError("nothing to complete: give FILE:LINE:COL, or --prefix-file")
    if arguments.prefix_file == arguments.suffix_file == "-":
        raise CommandError("standard input can be the prefix or the suffix, not both")
    prefix = read_text(arguments.prefix_file)
    suffix = read_text(arguments.suffix_file) if arguments.suffix_file else ""
    document = Document(prefix + suffix, encoding="utf-32")
    return document, document.position_at(len(prefix))


def _doctor(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from lsp_server.doctor import examine

    async def run() -> bool:
        well = True
        async for finding in examine(open_backend(_settings(arguments).model_options)):
            print(finding, flush=True)
            well = well and finding.status != "fail"
        return well

    return 0 if asyncio.run(run()) else 1


def _settings(arguments: argparse.Namespace) -> Settings:
    """What the command line sets, and our defaults for the rest."""
    names = {setting.name for setting in dataclasses.fields(Settings)}
    return Settings(**{name: value for name, value in vars(arguments).items() if name in names})


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
    for add in (_add_serve, _add_complete, _add_doctor):
        command = add(commands)
        # Also after the command's name; what was said before it stands.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
        _add_model_options(command)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="FOLDER", help="a checkpoint's folder (default: the one we bring)")
    group.add_argument("--device", choices=get_args(Device), default="auto", help="where it runs")
    group.add_argument("--dtype", choices=get_args(Dtype), default="auto", help="what it computes with")


def _add_serve(commands: _Commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("serve", help="the language server, as editors start it")
    parser.description = "Speak the Language Server Protocol, on standard input and output or a TCP port."
    parser.add_argument(
        "--tcp",
        metavar="[HOST:]PORT",
        help="listen for editors here instead; without HOST, for those on this machine only",
    )
    parser.set_defaults(command=_serve)
    return parser


def _add_complete(commands: _Commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("complete", help="complete a file at one place, without an editor")
    parser.description = "Print the completion that belongs at a place, as it comes."
    place = parser.add_argument_group("where")
    place.add_argument(
        "location",
        metavar="FILE:LINE:COL",
        nargs="?",
        help="complete before this character; both count from 1, and without COL it is the line's end",
    )
    place.add_argument("--prefix-file", metavar="P", help="complete after this text (-: standard input)")
    place.add_argument("--suffix-file", metavar="S", help="… and before this one")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--max-tokens", type=int, default=Settings.max_tokens, metavar="N", help="at most N tokens"
    )
    how.add_argument(
        "--temperature", type=float, default=Settings.temperature, metavar="T", help="0: always the likeliest"
    )
    how.add_argument(
        "--top-k", type=int, default=Settings.top_k, metavar="K", help="of the K likeliest; 0: all"
    )
    how.add_argument(
        "--top-p",
        type=float,
        default=Settings.top_p,
        metavar="P",
        help="of the likeliest that make up P; 1: all",
    )
    how.add_argument("--seed", type=int, metavar="N", help="draw the same completion each time")
    how.add_argument("--raw", action="store_true", help="all that the model writes, not trimmed to what fits")
    how.add_argument("--json", action="store_true", help="print one record: text, times and token counts")
    parser.set_defaults(command=_complete)
    return parser


def _add_doctor(commands: _Commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("doctor", help="what is wrong with the set-up, and how to mend it")
    parser.description = "Check Python, the packages, the device and the model; exit status 1 if one fails."
    parser.set_defaults(command=_doctor)
    return parser
