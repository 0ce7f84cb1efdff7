"""Baselines that need no model: the most common answer of a suite, and copying lines of the same file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def most_common(answers: Iterable[str]) -> str:
    """The most frequent answer; among equally frequent ones the first in alphabetical order."""
    counted = Counter(answers).most_common()
    return min(answer for answer, count in counted if count == counted[0][1])


def copied(prefix: str, suffix: str) -> str:
    """A continuation copied from elsewhere in the file, preferably from shortly before the cursor; or "".

    Within a line: the rest of a line with the same beginning. At the start of a line: the line after an
    earlier copy of the previous line.
    """
    head, _, typed = prefix.rpartition("\n")
    lines = [line.strip() for line in head.split("\n")]
    # In reverse order of preference: lines after the cursor come first, the nearest one before it comes last.
    known = [line.strip() for line in (*suffix.split("\n")[:0:-1], *lines)]
    if typed.strip():
        start = typed.strip()
        rests = (line[len(start) :] for line in reversed(known) if line.startswith(start) and line != start)
        rest = next(rests, "")
        return rest if not typed.endswith(" ") else rest.lstrip()
    previous = next((line for line in reversed(lines) if line), "")
    backwards = range(len(lines) - 2, -1, -1)
    return next((lines[at + 1] for at in backwards if lines[at] == previous and lines[at + 1]), "")
