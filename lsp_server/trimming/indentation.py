"""Indentation: how deep a line is, and in which style.

A completion follows the file's style, tabs or spaces. Only lines that a model indents in another style are
rewritten, to the same depth; the user's own lines never are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_TAB: Final = 4  # columns
_OPENERS: Final = ("(", "[", "{", ":")
_STEPS: Final = range(2, 9)


def width(line: str) -> int:
    """How far `line` is indented, in columns."""
    blank = len(line) - len(line.lstrip(" \t"))
    return blank if line.find("\t", 0, blank) < 0 else len(line[:blank].expandtabs(_TAB))


@dataclass(frozen=True)
class Style:
    """What a file is indented with: tabs, or `step` spaces; `tabs` is None if no line is indented."""

    tabs: bool | None = None
    step: int = _TAB

    @classmethod
    def of(cls, lines: Iterable[str]) -> Style:
        """The style of most of `lines`."""
        blanks = [blank for blank in map(_blank, lines) if blank]
        tabs = sum(blank[0] == "\t" for blank in blanks)
        steps = Counter(
            abs(len(one) - len(other))
            for one, other in zip(["", *blanks], blanks, strict=False)
            if one != other
        )
        step = max((step for step in steps if step in _STEPS), key=lambda step: steps[step], default=_TAB)
        return cls(tabs * 2 > len(blanks) if blanks else None, step if tabs * 2 <= len(blanks) else _TAB)

    def applied(self, line: str) -> str:
        """`line`, indented in this style."""
        blank = _blank(line)
        body = line[len(blank) :]
        if self.tabs and "\t" not in blank:
            return "\t" * (len(blank) // _TAB) + " " * (len(blank) % _TAB) + body
        if self.tabs is False and "\t" in blank:
            return blank.expandtabs(self.step) + body
        return line

    def first_line(self, line: str, before: str, above: Sequence[str], *, aligned: bool = False) -> str:
        """`line`, of whose indentation the user has typed `before`, the white space before the cursor.

        Models repeat that indentation, or write a stray space. `above` are the lines above it. Lines that may
        be `aligned` with a bracket above can be indented by any number of columns but one.
        """
        line = self.applied(line)
        typed, own = width(before), width(line)
        deepest = width(above[-1]) if above else 0
        if above and above[-1].endswith(_OPENERS):
            deepest += _TAB if self.tabs else self.step
        step = _TAB if self.tabs else self.step
        stray = own == 1 if aligned and not typed else (typed + own) % step
        again = typed and typed + own > deepest and not line.lstrip().startswith(".")
        if own and (stray or again):
            return line.lstrip(" \t")
        return line


def _blank(line: str) -> str:
    """The white space that `line` begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]
