"""Draws the results of `fimble bench`: latency over context length, and waits while typing.

matplotlib is an optional dependency (the extra `plot`), so it is imported when needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lsp_server.bench.figures import BenchFigures
from lsp_server.files import CommandError, check_writable, write_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".svg", ".png")

_INK, _SOFT, _GRID = "#1f2933", "#66727f", "#e4e8ec"
_BLUE, _PALE, _AMBER = "#2563a8", "#a9c1dc", "#c2571a"
_BINS: Final = 40


def check_plot(path: Path, find: Callable[[str], object] = find_spec) -> None:
    """Check before anything is measured that `path` can be drawn; `find` finds libraries.

    Raises:
        CommandError: it can't; the message says what to do.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise CommandError(f"--plot {str(path)!r} is not an image: its name must end in .svg or .png")
    check_writable(path)
    if find("matplotlib") is None:
        raise CommandError("--plot needs matplotlib: pip install 'fimble[plot]'")


def draw(figures: BenchFigures, path: Path) -> None:
    """Draw `figures` into the file `path`.

    Raises:
        CommandError: it can't be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs every folder it can't cache in
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "axes.edgecolor": _SOFT, "text.color": _INK}):
        figure = Figure(figsize=(9.6, 6.6), layout="constrained")
        axes = figure.subplot_mosaic([["prefill", "decode"], ["typing", "typing"]])
        _prefill(axes["prefill"], figures)
        _decode(axes["decode"], figures)
        _typing(axes["typing"], figures)
        model = figures.speed.model
        figure.suptitle(
            f"fimble {figures.version}: {model.name} on {model.device} in {model.dtype}\n", fontsize=13
        )
        figure.text(0.5, 0.955, str(figures.machine), ha="center", va="top", color=_SOFT, fontsize=9)
        with write_errors(path):
            figure.savefig(path, dpi=150)


def _prefill(axes: Axes, figures: BenchFigures) -> None:
    contexts = figures.speed.contexts
    tokens, times = [each.tokens for each in contexts], [each.prefill_ms for each in contexts]
    axes.plot(tokens, times, color=_BLUE, marker="o", markersize=5, linewidth=2)
    last = contexts[-1]
    _note(axes, f"{last.prefill_tokens_per_second:,.0f} tokens/s", (last.tokens, last.prefill_ms))
    axes.set_ylim(0, 1.2 * max(times))
    _context_axis(axes, tokens)
    _finish(axes, "Prefill of a whole prompt", "context length, tokens", "milliseconds")


def _decode(axes: Axes, figures: BenchFigures) -> None:
    speed = figures.speed
    tokens = [each.tokens for each in speed.contexts]
    times = [each.decode_ms for each in speed.contexts]
    axes.plot(tokens, times, color=_BLUE, marker="o", markersize=5, linewidth=2)
    top = max(times)
    limit = speed.limit_ms
    if limit is not None:
        axes.axhline(limit, color=_AMBER, linestyle=(0, (4, 3)), linewidth=1.5)
        axes.annotate(
            f"reading the weights once: {limit:.2f} ms",
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=_AMBER,
            fontsize=9,
        )
        top = max(top, limit)
    axes.set_ylim(0, 1.25 * top)
    _context_axis(axes, tokens)
    _finish(axes, "Decoding a token", "context length, tokens", "milliseconds (p50)")


def _typing(axes: Axes, figures: BenchFigures) -> None:
    times, found = figures.waits, figures.typing.first_text_ms
    title = f"From a key to ghost text: {figures.typing.keys} keystrokes in {Path(figures.file).name}"
    _finish(axes, title, "milliseconds", "keystrokes")
    if found is None:
        axes.text(0.5, 0.5, "no text was shown", transform=axes.transAxes, ha="center", color=_SOFT)
        return
    # Outliers would squeeze all others into one bar, so they share the last, pale one.
    end = max(1.5 * found.p95, 1.0)
    late = sum(time > end for time in times)
    axes.hist(times, bins=_BINS, range=(0, end), color=_BLUE, rwidth=0.9)
    axes.set_xlim(0, end * (1 + 4 / _BINS))
    room = 1.15 * max(axes.get_ylim()[1], late)
    axes.set_ylim(0, room)
    if late:
        axes.bar(end * (1 + 2 / _BINS), late, 0.9 * end / _BINS, color=_PALE)
        words = f"{late} took longer, up to {max(times):,.0f} ms"
        _note(axes, words, (end * (1 + 3 / _BINS), late), offset=(-2, 4), color=_SOFT)
    for name, value in (("p50", found.p50), ("p95", found.p95)):
        axes.axvline(value, color=_AMBER, linewidth=1.5)
        _note(axes, f"{name} {value:.1f} ms", (value, 0.93 * room), color=_AMBER, offset=(5, 0))


def _context_axis(axes: Axes, tokens: list[int]) -> None:
    axes.set_xlim(0, 1.1 * tokens[-1])
    axes.set_xticks(tokens[-4:])


def _note(axes: Axes, words: str, at: tuple[float, float], **how: Any) -> None:
    offset = how.pop("offset", (-6, 4))
    side = "left" if offset[0] > 0 else "right"
    style = {"color": _INK, "fontsize": 9, **how}
    axes.annotate(words, at, xytext=offset, textcoords="offset points", ha=side, **style)


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x, color=_SOFT)
    axes.set_ylabel(y, color=_SOFT)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT)
    axes.spines[["top", "right"]].set_visible(False)
