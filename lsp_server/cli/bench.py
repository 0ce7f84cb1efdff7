"""``fimble bench``: measures prefill, decoding and typing latency on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server import __version__
from lsp_server.cli.arguments import read_document
from lsp_server.cli.options import (
    Commands,
    add_model_options,
    chosen_model,
    chosen_settings,
    progress_bar,
)
from lsp_server.document import Document
from lsp_server.files import CommandError
from model_runtime import measure_speed
from model_runtime.api import LoadProgress, OpenBackend

if TYPE_CHECKING:
    from rich.progress import Progress

    from lsp_server.bench import TypingSession, Watch

_DESCRIPTION = """\
Simulate a person who types part of a source file (key intervals, typos, cursor jumps, accepted completions)
in an editor that runs `fimble serve` and has neighbouring files open, and measure how long the typist waits
for text. Then measure memory bandwidth, prefill and decoding speed at increasing context lengths.

The share of the bandwidth limit compares the time to read the model's weights once, at the measured memory
bandwidth, with the time to decode a token. The typing session skips pauses in which nothing is computed. A
key pressed before the previous answer has arrived supersedes that request and waits for its own answer."""

_LOADING_SHARE, _SESSION_SHARE = 0.1, 0.5
"""Overall progress after loading the server's model, and after the typing session."""

_FILE = Path(__file__).parents[1] / "document.py"
_CHARACTERS, _QUICK_CHARACTERS = 400, 100


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble bench``."""
    parser = commands.add_parser(
        "bench",
        help="measure prefill, decoding and typing latency on this machine",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.description = _DESCRIPTION
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="source file to type (default: one of fimble's own)"
    )
    parser.add_argument(
        "--characters",
        type=int,
        metavar="N",
        help=f"how many characters to type (default: {_CHARACTERS}; with --quick {_QUICK_CHARACTERS})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed for passages, intervals and typos"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, less precise figures")
    parser.add_argument("--json", action="store_true", help="print JSON, with the time of every key")
    parser.add_argument(
        "--plot",
        metavar="FILE.svg|png",
        type=Path,
        help="plot latency by context length, and a histogram of the typing session",
    )
    add_model_options(parser)
    parser.set_defaults(command=_bench)
    return parser


def _bench(arguments: argparse.Namespace, _: OpenBackend) -> int:
    # Imported here so as not to delay the start of `fimble serve`.
    from lsp_server.bench import BenchFigures, TypingSession, check_plot, draw, this_machine
    from lsp_server.cli.event_loop import run
    from lsp_server.client import ServerGone

    characters = arguments.characters
    if characters is None:
        characters = _QUICK_CHARACTERS if arguments.quick else _CHARACTERS
    if characters < 1:
        raise CommandError(f"--characters is {characters}: type at least 1")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    path = arguments.file or str(_FILE)
    document = read_document(path)
    if not document.text.strip():
        raise CommandError(f"{path} is empty: name a file that has something to type")
    machine = this_machine()  # before the benchmark itself raises the load
    session = TypingSession(document.text, arguments.seed, characters=characters)
    with progress_bar() as bar:
        show = _shows(bar)
        # The server's process has ended before the model is loaded in this one.
        try:
            watch = run(_typed(session, document, path, chosen_model(arguments), show))
        except ServerGone as error:
            raise CommandError(f"`fimble serve` has ended: {error}") from error
        speed = measure_speed(
            chosen_settings(arguments).model_options,
            quick=arguments.quick,
            progress=lambda share, what: show(_SESSION_SHARE + (1 - _SESSION_SHARE) * share, what),
        )
    name = arguments.file or _FILE.name
    figures = BenchFigures(__version__, machine, speed, name, arguments.seed, tuple(watch.keys), watch.usage)
    if arguments.json:
        print(json.dumps(figures.record(), ensure_ascii=False))
    else:
        print("\n".join(figures.table()))
    if arguments.plot is not None:
        draw(figures, arguments.plot)
    return 0


def _shows(bar: Progress) -> LoadProgress:
    task = bar.add_task("measuring", total=1.0)

    def show(share: float, what: str) -> None:
        bar.update(task, completed=share, description=what)

    return show


async def _typed(
    session: TypingSession, document: Document, path: str, options: Sequence[str], show: LoadProgress
) -> Watch:
    """Replay `session` with a server that is started with `options`; returns what was recorded."""
    from lsp_server.bench import Editor, EditorAssistant, Watch, neighbouring_files, replay

    editor = await Editor.start(options, lambda share, what: show(_LOADING_SHARE * share, what))
    try:
        for other in [] if path == "-" else neighbouring_files(Path(path)):
            with suppress(CommandError):  # skip files that can't be read
                editor.open(read_document(str(other)))
        watch = Watch()  # starts its clock

        def typed(share: float) -> None:
            done = _LOADING_SHARE + (_SESSION_SHARE - _LOADING_SHARE) * share
            show(done, f"typing: {len(watch.keys)} keys")

        await replay(session, EditorAssistant(editor, watch, document), watch, skip_idle=True, progress=typed)
    finally:
        await editor.stop()
    return watch
