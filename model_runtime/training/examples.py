"""Fill-in-the-middle examples: files are cut into windows, and most windows into prefix, middle and suffix.

After Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022): documents are
transformed before they are packed, spans are chosen on characters, and examples are laid out as PSM or SPM
(variant 2). Besides random spans there are those that an editor asks for: the rest of a line, a few lines, a
block, the end of a file. As in the runtime's prompts, windows begin and end at any line, some have no suffix,
and some show snippets of other files first.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from model_runtime.evaluation import SourceFile

SHORTEST_WINDOW = 400  # characters
SHORTEST_FIM_WINDOW = 20  # characters; what is shorter stays plain text
CHARACTERS_PER_TOKEN = 2.9  # sizes a window that is to fit into a row; code has more on average
MAX_LINES = 5  # of a "lines" span
MAX_SNIPPETS = 3
SNIPPET_LINES = 8
NEARBY_WINDOWS = 12  # windows of a package's other files that snippets are taken from
UNFINISHED_WORD = re.compile(r" ?\w*$")
"""What token healing removes from the end of a prefix: the word that the cursor is in."""

Layout = Literal["plain", "psm", "spm"]
Span = Literal["random", "rest of line", "lines", "block", "end"]

SPANS: Mapping[Span, float] = {
    "random": 0.25,
    "rest of line": 0.35,
    "lines": 0.22,
    "block": 0.13,
    "end": 0.05,
}


class Example(NamedTuple):
    """A window in three parts; `layout` is their order. Plain text is all `prefix`."""

    layout: Layout
    prefix: str
    middle: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class Mixture:
    """How examples are drawn, in probabilities.

    Attributes:
        fim: that a window becomes a fill-in-the-middle example; the others stay plain text.
        psm: that such an example is laid out as PSM; the others are SPM.
        no_suffix: that it has an empty suffix.
        snippets: that snippets of other files precede it, where there are some.
        spans: the relative frequency of each kind of middle.
    """

    fim: float = 0.9
    psm: float = 0.5
    no_suffix: float = 0.1
    snippets: float = 0.15
    spans: Mapping[Span, float] = field(default_factory=lambda: SPANS)


def draw_examples(
    files: Iterable[SourceFile], length: int, mixture: Mixture, random: Random
) -> Iterator[Example]:
    """One example for every window of every file; nearly all of them fit into `length` tokens.

    Snippets come from the preceding files of the same package, as if these were open in the editor.
    """
    longest = int(length * CHARACTERS_PER_TOKEN)
    package, others = "", deque[tuple[str, str]](maxlen=NEARBY_WINDOWS)
    for file in files:
        if file.package != package:
            package = file.package
            others.clear()
        cut = list(windows(file.text, longest, random))
        for window in cut:
            yield make_example(window, mixture, random, others)
        others.extend((file.path, window) for window in random.sample(cut, min(3, len(cut))))


def windows(text: str, longest: int, random: Random) -> Iterator[str]:
    """Cut a file into consecutive windows of whole lines.

    Lengths are random, up to `longest` characters, with more short windows than long ones, since each gives
    one middle. Only a single line that is longer exceeds the limit.
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
    window: str, mixture: Mixture, random: Random, others: Sequence[tuple[str, str]] = ()
) -> Example:
    """Choose a layout and a middle for one window.

    Args:
        window: whole lines of a file.
        mixture: the probabilities.
        random: source of all choices.
        others: paths and windows of other files, for snippets.
    """
    if random.random() >= mixture.fim or len(window) < SHORTEST_FIM_WINDOW:
        return Example("plain", window)
    kind = random.choices(list(mixture.spans), list(mixture.spans.values()))[0]
    start, end = _span(kind, window, random)
    layout: Layout = "psm" if random.random() < mixture.psm else "spm"
    suffix = "" if random.random() < mixture.no_suffix else window[end:]
    prefix = window[:start]
    if others and prefix and random.random() < mixture.snippets:
        prefix = snippets(prefix, others, random) + prefix
    return Example(layout, prefix, window[start:end], suffix)


def snippets(prefix: str, others: Sequence[tuple[str, str]], random: Random) -> str:
    """Snippets of other files, each under its path as in a prompt; those that share most words come first."""
    wanted = set(re.findall(r"\w{3,}", "\n".join(prefix.split("\n")[-SNIPPET_LINES:])))
    found = []
    for path, text in others:
        lines = text.split("\n")
        start = random.randrange(max(1, len(lines) - SNIPPET_LINES))
        snippet = "\n".join(lines[start : start + SNIPPET_LINES]).strip("\n").rstrip()
        if snippet:
            found.append((len(wanted & set(re.findall(r"\w{3,}", snippet))), f"# {path}\n{snippet}\n\n"))
    found.sort(key=lambda snippet: snippet[0], reverse=True)
    return "".join(text for _, text in found[: random.randint(1, MAX_SNIPPETS)])


def _span(kind: Span, text: str, random: Random) -> tuple[int, int]:
    """Start and end of the middle, in characters."""
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
        for _ in range(random.randrange(MAX_LINES)):
            end = _line_end(text, min(end + 1, len(text)))
    return start, end


def _cursor(text: str, random: Random) -> int:
    """A plausible cursor position: more often than not at the start of a line."""
    offset = random.randrange(len(text))
    line = text.rfind("\n", 0, offset) + 1
    indentation = len(text[line:]) - len(text[line:].lstrip(" \t"))
    choice = random.random()
    if choice < 0.4:
        return line + indentation
    if choice < 0.55:
        return line
    if choice < 0.8 and offset > line + indentation:
        word = UNFINISHED_WORD.search(text, line + indentation, offset)
        return word.start() if word else offset
    return offset


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
