"""``fimble bench``: what this machine does with a model, in figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server import __version__
from lsp_server.arguments import CommandError, language_of, read_text
from lsp_server.commands.options import Commands, add_model_options, chosen_settings, progress_bar
from lsp_server.document import Document
from lsp_server.server import OpenBackend
from lsp_server.settings import Settings
from model_runtime import measure_speed
from model_runtime.api import Backend

if TYPE_CHECKING:
    from rich.progress import Progress

    from lsp_server.typist import TypedKey, TypingSession

_DESCRIPTION = """\
Measure how fast memory is read, a prompt is computed and a token is made, at growing context lengths; then
type a part of a source file as a person does (intervals, slips, jumps, accepted completions) and measure how
long the typist waits for text.

The share of the bandwidth limit is the time that reading the model's weights once takes at the bandwidth just
measured, as a share of the time that a token takes. In the typing session pauses in which nothing is computed
are left out; a key that comes while an answer is computed overtakes it, and waits for the next one."""

_SESSION_SHARE = 0.5
"""How much of the progress is the typing session."""

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


def _bench(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    # Imported here, since `fimble serve` has no use for it and editors wait for its start.
    from lsp_server.bench_figures import BenchFigures
    from lsp_server.bench_plot import check_plot, draw
    from lsp_server.event_loop import run
    from lsp_server.machine import this_machine
    from lsp_server.typist import TypingSession

    characters = arguments.characters
    if characters is None:
        characters = _QUICK_CHARACTERS if arguments.quick else _CHARACTERS
    if characters < 1:
        raise CommandError(f"--characters is {characters}: type at least 1")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    path = arguments.file or str(_FILE)
    text = read_text(path)
    if not text.strip():
        raise CommandError(f"{path} is empty: name a file that has something to type")
    language = language_of(path)
    document = Document(text, uri="" if path == "-" else Path(path).absolute().as_uri(), language=language)
    settings = chosen_settings(arguments)
    machine = this_machine()  # before we make it busy ourselves
    session = TypingSession(text, arguments.seed, characters=characters)
    with progress_bar() as bar:
        show = _shows(bar)
        options = settings.model_options
        speed = measure_speed(
            options,
            quick=arguments.quick,
            progress=lambda share, what: show((1 - _SESSION_SHARE) * share, what),
        )
        keys = run(_typed(session, document, open_backend(options), settings, show))
    figures = BenchFigures(
        __version__, machine, speed, arguments.file or _FILE.name, arguments.seed, tuple(keys)
    )
    if arguments.plot is not None:
        draw(figures, arguments.plot)
    if arguments.json:
        print(json.dumps(figures.record(), ensure_ascii=False))
    else:
        print("\n".join(figures.table()))
    return 0


def _shows(bar: Progress) -> Callable[[float, str], None]:
    task = bar.add_task("measuring", total=1.0)

    def show(share: float, what: str) -> None:
        bar.update(task, completed=share, description=what)

    return show


async def _typed(
    session: TypingSession,
    document: Document,
    backend: Backend,
    settings: Settings,
    show: Callable[[float, str], None],
) -> list[TypedKey]:
    """Type `session` with `backend` completing it; what came of each key."""
    from lsp_server.typist import BackendAssistant, Watch, replay

    watch = Watch()
    assistant = BackendAssistant(backend, watch, settings, language=document.language, uri=document.uri)

    def typed(share: float) -> None:
        show(1 - _SESSION_SHARE + _SESSION_SHARE * share, f"typing: {len(watch.keys)} keys")

    show(1 - _SESSION_SHARE, "loading the model")
    await backend.load()
    await replay(session, assistant, watch, skip_idle=True, progress=typed)
    await backend.close()  # but not after Ctrl-C, which would have to wait for a model that is loading
    return watch.keys
