"""``fimble complete``: one completion, as an editor would show it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass

from lsp_server.cli.arguments import Location, read_document
from lsp_server.cli.options import Commands, add_model_options, chosen_settings
from lsp_server.document import Document, Position
from lsp_server.files import CommandError, read_text
from lsp_server.settings import Settings
from model_runtime.api import Backend, OpenBackend


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble complete``."""
    parser = commands.add_parser("complete", help="complete a file at one place, without an editor")
    parser.description = "Print the completion that an editor would show at a place, once it is whole."
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
        "--latency-budget-ms",
        type=float,
        metavar="MS",
        help="print what is whole after so many milliseconds (default: wait for all of it)",
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
    how.add_argument("--json", action="store_true", help="print one record: text, times and token counts")
    add_model_options(parser)
    parser.set_defaults(command=_complete)
    return parser


def _complete(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from lsp_server.cli.event_loop import run

    document, position = _cursor(arguments)
    settings = chosen_settings(arguments)
    backend = open_backend(settings.model_options)

    async def work() -> Record:
        record = await complete(backend, document, position, settings, arguments.seed)
        await backend.close()  # but not after Ctrl-C, which would have to wait for a model that is loading
        return record

    record = run(work())
    if arguments.json:
        print(record.to_json())
    elif record.text:
        print(record.text, end="\n" if sys.stdout.isatty() else "")
    else:
        print("fimble: nothing to offer here", file=sys.stderr)
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
    document = read_document(arguments.prefix_file)
    prefix = document.text
    if arguments.suffix_file:
        document.replace(prefix + read_text(arguments.suffix_file))
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
    backend: Backend, document: Document, position: Position, settings: Settings, seed: int | None = None
) -> Record:
    """Complete `document` as an editor does that has only this one open.

    What is shown while the model writes may yet be withdrawn, so nothing is printed before it is whole.

    Raises:
        BackendError: the model cannot be used.
    """
    # These take time that editors would wait for when they start `fimble serve`.
    from lsp_server.completion import Answer, Session, SessionServices

    services = SessionServices(backend, settings, seed=seed)
    services.context.opened(document)
    session = Session(document, services)
    model = await backend.load()
    started = time.perf_counter()
    shown: list[float] = []

    def show(answer: Answer) -> None:
        shown.append(_milliseconds_since(started))

    # Whoever sees the text grow is answered when it is whole, whatever the latency budget is.
    growing = show if settings.latency_budget_ms is None else None
    answer = await session.complete(document.clamp(position), show=growing)
    assert answer is not None, "there is no newer request"
    total_ms = _milliseconds_since(started)
    session.close()
    await session.wait_closed()
    text = answer.suggestions[0].piece.text
    usage = answer.usage
    return Record(
        text=text if text.strip() else "",
        first_token_ms=(shown or [total_ms])[0] if text.strip() else None,
        total_ms=total_ms,
        prompt_tokens=usage.prompt_tokens if usage else None,
        reused_tokens=usage.reused_tokens if usage else None,
        decoded_tokens=usage.decoded_tokens if usage else None,
        model=model.name,
    )


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
