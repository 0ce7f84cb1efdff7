"""The third step's transformation: a window of a file becomes a fill-in-the-middle example.

cleaning ▶ **infilling** ▶ packing. After Bavarian et al., "Efficient Training of Language Models to Fill in
the Middle" (2022): documents are transformed before they are packed, spans are chosen on characters, some of
them laid out as PSM and some as SPM (variant 2). To their random spans come the shapes that an editor asks
for: the rest of a line, the next few lines, a block, and the end of a file; and what `prompting`
makes of a request: windows that begin and end anywhere, no text after the cursor, pieces of other files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal, NamedTuple

FIM_RATE = 0.9
SPANS = {"random": 0.25, "rest of line": 0.35, "lines": 0.22, "block": 0.13, "end": 0.05}
SHORTEST_WINDOW = 400  # characters
MOST_LINES = 5
OPEN_ENDED = 0.1  # of the examples: nothing stands after the middle
WITH_SNIPPETS = 0.15  # of the examples
MOST_SNIPPETS = 3
SNIPPET_LINES = 8
TYPING = re.compile(r" ?\w*$")
"""What token healing gives back of the text before a cursor: the word that it stands in."""

Layout = Literal["plain", "psm", "spm"]


class Example(NamedTuple):
    """A window cut in three; `layout` says how it is written. Plain text is all `prefix`."""

    layout: Layout
    prefix: str
    middle: str = ""
    suffix: str = ""


def windows(text: str, longest: int, random: Random) -> Iterator[str]:
    """Cut a file into windows of whole lines, as a prompt's window would be.

    Their lengths are random, up to `longest` characters, and more of them short, since each gives one middle.
    Only a line that is longer alone goes beyond.
    """
    start = 0
    while start < len(text):
        length = SHORTEST_WINDOW * (longest / SHORTEST_WINDOW) ** random.random()
        end = start + max(1, int(length))
        end = len(text) if end >= len(text) else text.rfind("\n", start, end) + 1
        if end <= start:  # one line fills the whole window
            end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def make_example(
    window: str, random: Random, others: Sequence[tuple[str, str]] = (), psm: float = 0.5
) -> Example:
    """Choose a layout and a span for one window.

    Args:
        window: whole lines of a file.
        random: what is chosen follows from it.
        others: paths and windows of other files, of which pieces may be shown before this one.
        psm: the share of the examples with a middle that are laid out as PSM, not SPM.
    """
    if random.random() >= FIM_RATE or len(window) < 20:
        return Example("plain", window)
    kind = random.choices(list(SPANS), list(SPANS.values()))[0]
    start, end = _span(kind, window, random)
    layout: Layout = "psm" if random.random() < psm else "spm"
    suffix = "" if random.random() < OPEN_ENDED else window[end:]
    prefix = window[:start]
    if others and prefix and random.random() < WITH_SNIPPETS:
        prefix = snippets(prefix, others, random) + prefix
    return Example(layout, prefix, window[start:end], suffix)


def snippets(prefix: str, others: Sequence[tuple[str, str]], random: Random) -> str:
    """Pieces of other files, each under its path as a prompt has them; those that share words come first."""
    wanted = set(re.findall(r"\w{3,}", "\n".join(prefix.split("\n")[-SNIPPET_LINES:])))
    pieces = []
    for path, text in others:
        lines = text.split("\n")
        start = random.randrange(max(1, len(lines) - SNIPPET_LINES))
        piece = "\n".join(lines[start : start + SNIPPET_LINES]).strip("\n").rstrip()
        if piece:
            pieces.append((len(wanted & set(re.findall(r"\w{3,}", piece))), f"# {path}\n{piece}\n\n"))
    pieces.sort(key=lambda piece: piece[0], reverse=True)
    return "".join(text for _, text in pieces[: random.randint(1, MOST_SNIPPETS)])


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
    """A place where somebody might be typing: more often than not a line's first character."""
    place = random.randrange(len(text))
    line = text.rfind("\n", 0, place) + 1
    indentation = len(text[line:]) - len(text[line:].lstrip(" \t"))
    choice = random.random()
    if choice < 0.4:
        return line + indentation
    if choice < 0.55:
        return line
    if choice < 0.8 and place > line + indentation:
        typing = TYPING.search(text, line + indentation, place)
        return typing.start() if typing else place
    return place


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
