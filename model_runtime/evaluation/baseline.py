"""What a figure is held against: an answer that needs no model at all.

evaluating ▶ **baseline**. The floor is the one answer that is right most often. The baseline copies: what
came after a line like the last one, where there was one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def commonest(answers: Iterable[str]) -> str:
    """The answer that is given most often; of several the one that is first in order."""
    counted = Counter(answers).most_common()
    return min(answer for answer, count in counted if count == counted[0][1])


def copied(prefix: str, suffix: str) -> str:
    """A line, or its rest, as it stands elsewhere in the text, nearest before the cursor.

    In the middle of a line that is how a line that begins like it goes on. At its start it is the line after
    the one that is like the line before. Nothing where there is no such line.
    """
    head, _, typed = prefix.rpartition("\n")
    lines = [line.strip() for line in head.split("\n")]
    # Behind the cursor come the lines after it; those nearest before it count first.
    known = [*suffix.split("\n")[:0:-1], *lines]
    known = [line.strip() for line in known]
    if typed.strip():
        begun = typed.strip()
        ways = (line[len(begun) :] for line in reversed(known) if line.startswith(begun) and line != begun)
        rest = next(ways, "")
        return rest if not typed.endswith(" ") else rest.lstrip()
    before = next((line for line in reversed(lines) if line), "")
    where = range(len(lines) - 2, -1, -1)
    return next((lines[at + 1] for at in where if lines[at] == before and lines[at + 1]), "")
