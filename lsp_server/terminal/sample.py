"""What is opened where no file is named: a few lines of Python, and a cursor where something is missing.

commands.try_command ▶ **sample** ▶ files
"""

from __future__ import annotations

from typing import Final

from lsp_server.terminal.files import OpenFile

_CURSOR: Final = "‸"
_TEXT: Final = '''\
"""Type, and what may come next appears in grey: Tab takes it, Esc drops it."""

from dataclasses import dataclass


@dataclass
class Rectangle:
    width: float
    height: float

    def area(self) -> float:
        return self.‸

    def scaled(self, factor: float) -> "Rectangle":
        return Rectangle(self.width * factor, self.height * factor)


def total_area(rectangles: list[Rectangle]) -> float:
    return sum(rectangle.area() for rectangle in rectangles)
'''


def sample() -> OpenFile:
    """The sample, which has no file."""
    cursor = _TEXT.index(_CURSOR)
    return OpenFile("sample.py", text=_TEXT.replace(_CURSOR, ""), cursor=cursor)
