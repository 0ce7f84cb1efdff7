"""``fimble bench``: what this machine does with a model, in figures."""

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
Type a part of a source file as a person does (intervals, slips, jumps, accepted completions), in an editor
with `fimble serve` that has files beside it open too, and measure how long the typist waits for text; then
measure how fast memory is read, a prompt is computed and a token is made, at growing context lengths.

The share of the bandwidth limit is the time that reading the model's weights once takes at the bandwidth just
measured, as a share of the time that a token takes. In the typing session pauses in which nothing is computed
are left out; a key that comes while an answer is computed overtakes it, and waits for the next one."""

_LOADING_SHARE, _SESSION_SHARE = 0.1, 0.5
"""How far the progress is when the server's model is loaded, and after the typing session."""

_FILE = Path(__file__).parents[1] / "document.py"
_CHARACTERS, _QUICK_CHARACTERS = 400, 100


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble bench``."""
    parser = commands.add_parser(
        "bench",
        help="this machine's figures: prefill, decoding, typing",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.description = _DESCRIPTION
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the source file that is typed (default: one of fimble's own)"
    )
    parser.add_argument(
        "--characters",
        type=int,
        metavar="N",
        help=f"type about N characters of it (default: {_CHARACTERS}; with --quick {_QUICK_CHARACTERS})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="type other passages, at other intervals"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: figures to glance at")
    parser.add_argument("--json", action="store_true", help="print one record, with the time of every key")
    parser.add_argument(
        "--plot",
        metavar="FILE.svg|png",
        type=Path,
        help="draw latency over context length, and the typing session's histogram",
    )
    add_model_options(parser)
    parser.set_defaults(command=_bench)
    return parser


def _bench(arguments: argparse.Namespace, _: OpenBackend) -> int:
    # Imported here, since `fimble serve` has no use for it and editors wait for its start.
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
    machine = this_machine()  # before we make it busy ourselves
    session = TypingSession(document.text, arguments.seed, characters=characters)
    with progress_bar() as bar:
        show = _shows(bar)
        # The server has its model in a process of its own, which has ended when ours is opened.
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
    """Type `session` at a server that is started with `options`; what the typist saw."""
    from lsp_server.bench import Editor, EditorAssistant, Watch, neighbours, replay

    editor = await Editor.start(options, lambda share, what: show(_LOADING_SHARE * share, what))
    try:
        for other in [] if path == "-" else neighbours(Path(path)):
            with suppress(CommandError):  # it can't be read: then it is not open
                editor.open(read_document(str(other)))
        watch = Watch()  # its clock runs from now on

        def typed(share: float) -> None:
            done = _LOADING_SHARE + (_SESSION_SHARE - _LOADING_SHARE) * share
            show(done, f"typing: {len(watch.keys)} keys")

        await replay(session, EditorAssistant(editor, watch, document), watch, skip_idle=True, progress=typed)
    finally:
        await editor.stop()
    return watch
