"""``fimble complete``: one completion, printed as it comes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from lsp_server.arguments import CommandError, Location, read_text
from lsp_server.commands.options import Commands, add_model_options, chosen_settings
from lsp_server.document import Document, Position
from lsp_server.server import OpenBackend
from lsp_server.settings import Settings
from model_runtime.api import Backend, CompletionRequest, Usage

if TYPE_CHECKING:
    from lsp_server.trim import Trim


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble complete``."""
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
    add_model_options(parser)
    parser.set_defaults(command=_complete)
    return parser


def _complete(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    # These take time that editors would wait for.
    from lsp_server.event_loop import run
    from lsp_server.places import completion_request, place_at
    from lsp_server.trim import Trim

    document, position = _cursor(arguments)
    settings = chosen_settings(arguments)
    request = completion_request(place_at(document, position), document, settings)
    request = dataclasses.replace(request, seed=arguments.seed)
    trim = None if arguments.raw else Trim(request.prefix, request.suffix, language=request.language)
    backend = open_backend(settings.model_options)
    out = None if arguments.json else sys.stdout

    async def work() -> None:
        record = await complete(backend, request, trim, out)
        await backend.close()  # but not after Ctrl-C, which would have to wait for a model that is loading
        if arguments.json:
            print(record.to_json())
        elif sys.stdout.isatty():
            print()

    run(work())
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


@dataclass(frozen=True)
class Record:
    """What ``--json`` prints: the text and its cost, in milliseconds from when the model was loaded.

    `first_token_ms` is None where there is no text, and the token counts are where the backend tells none.
    """

    text: str
    first_token_ms: float | None
    total_ms: float
    prompt_tokens: int | None
    reused_tokens: int | None
    decoded_tokens: int | None
    model: str

    def to_json(self) -> str:
        """The record on one line."""
        return json.dumps(vars(self), ensure_ascii=False)


async def complete(
    backend: Backend, request: CompletionRequest, trim: Trim | None, out: TextIO | None
) -> Record:
    """Run one completion; each piece of its text is written to `out`, if given, as it comes.

    Raises:
        BackendError: the model cannot be used.
    """
    from lsp_server.generation import stream_completion

    model = await backend.load()
    started = time.perf_counter()
    first_ms: float | None = None
    text = ""
    usage: Usage | None = None
    async with aclosing(stream_completion(backend, request, trim)) as stream:
        async for progress in stream:
            if first_ms is None and progress.text:
                first_ms = _milliseconds_since(started)
            if out is not None:
                out.write(progress.text[len(text) :])
                out.flush()
            text, usage = progress.text, progress.usage
    return Record(
        text=text,
        first_token_ms=first_ms,
        total_ms=_milliseconds_since(started),
        prompt_tokens=usage.prompt_tokens if usage else None,
        reused_tokens=usage.reused_tokens if usage else None,
        decoded_tokens=usage.decoded_tokens if usage else None,
        model=model.name,
    )


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
