"""The third step's transformation: a window of a file becomes a fill-in-the-middle example.

After Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022): documents
are transformed before they are packed, spans are chosen on characters, half of them laid out as PSM and
half as SPM (variant 2). To their random spans come the shapes that an editor asks for: the rest of a
line, the next few lines, a block, and the end of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

FIM_RATE = 0.8
SPANS = {"random": 0.25, "rest of line": 0.40, "lines": 0.20, "block": 0.10, "end": 0.05}
SHORTEST_WINDOW = 500  # characters
MOST_LINES = 5
Layout = Literal["plain", "psm", "spm"]


class Example(NamedTuple):
    """A window cut in three; `layout` says how it is written. Plain text is all `prefix`."""

    layout: Layout
    prefix: str
    middle: str = ""
    suffix: str = ""


def windows(text: str, longest: int, random: Random) -> Iterator[str]:
    """Cut a file into windows of whole lines, as a prompt's window would be.

    Their lengths are random, up to `longest` characters; only a line that is longer alone goes beyond.
    """
    start = 0
    while start < len(text):
        end = start + random.randint(SHORTEST_WINDOW, longest)
        end = len(text) if end >= len(text) else text.rfind("\n", start, end) + 1
        if end <= start:  # one line fills the whole window
            end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def make_example(window: str, random: Random) -> Example:
    """Choose a layout and a span for one window."""
    if random.random() >= FIM_RATE or len(window) < 20:
        return Example("plain", window)
    kind = random.choices(list(SPANS), list(SPANS.values()))[0]
    start, end = _span(kind, window, random)
    layout: Layout = "psm" if random.random() < 0.5 else "spm"
    return Example(layout, window[:start], window[start:end], window[end:])


def _span(kind: str, text: str, random: Random) -> tuple[int, int]:
    """The start and the end of the middle, in characters."""
    if kind == "random":
        start, end = sorted((random.randrange(len(text) + 1), random.randrange(len(text) + 1)))
        return start, end
    start = _cursor(text, random)
    if kind == "end":
        return start, len(text)
    if kind == "block":
        return start, _block_end(text, start)
    end = _line_end(text, start)
    if kind == "lines":
        for _ in range(random.randrange(MOST_LINES)):
            end = _line_end(text, min(end + 1, len(text)))
    return start, end


def _cursor(text: str, random: Random) -> int:
    """A place where somebody might be typing: in half of the cases a line's first character."""
    place = random.randrange(len(text))
    line = text.rfind("\n", 0, place) + 1
    indentation = len(text[line:]) - len(text[line:].lstrip(" \t"))
    choice = random.random()
    if choice < 0.4:
        return line + indentation
    return line if choice < 0.5 else place


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _block_end(text: str, start: int) -> int:
    """The end of the last line from `start` on that is indented no less than `start`'s line."""
    line = text.rfind("\n", 0, start) + 1
    depth = len(text[line:]) - len(text[line:].lstrip(" \t"))
    end = _line_end(text, start)
    while end < len(text):
        following = text[end + 1 : _line_end(text, end + 1)]
        if following.strip() and len(following) - len(following.lstrip(" \t")) < depth:
            break
        end = _line_end(text, end + 1)
    return start + len(text[start:end].rstrip())
