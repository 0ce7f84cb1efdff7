"""What stands on a terminal's screen, with its colours, and a picture of it.

tmux capture-pane -e -p | python -m tests.editors.screen > picture.svg
"""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

_ESCAPE = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\([AB0]|\x0f|\x0e")


@dataclass(frozen=True)
class Style:
    """How a cell is drawn: its colour as the codes that choose it, such as ``90`` or ``38;5;8``."""

    colour: str = ""
    reverse: bool = False


@dataclass(frozen=True)
class Cell:
    """One character of the screen."""

    character: str
    style: Style


def cells(captured: str) -> list[list[Cell]]:
    """The lines of what `tmux capture-pane -e -p` prints."""
    return [list(_line(line)) for line in captured.split("\n")]


def text_in(captured: str, colour: str) -> str:
    """What is drawn in `colour`, line by line; lines without any are left out."""
    lines = (
        "".join(cell.character for cell in line if cell.style.colour == colour) for line in cells(captured)
    )
    return "\n".join(line for line in lines if line.strip())


def picture(captured: str, title: str) -> str:
    """The screen as an SVG."""
    text = Text.from_ansi(captured.rstrip("\n"))
    width = max(line.cell_len for line in text.split("\n"))
    console = Console(record=True, width=max(width, 60), file=io.StringIO(), force_terminal=True)
    console.print(text, soft_wrap=True)
    return console.export_svg(title=title)


def _line(line: str) -> list[Cell]:
    found: list[Cell] = []
    style, end = Style(), 0
    for escape in _ESCAPE.finditer(line):
        found += [Cell(character, style) for character in line[end : escape.start()]]
        if escape[1] is not None:
            style = _styled(style, escape[1])
        end = escape.end()
    return found + [Cell(character, style) for character in line[end:]]


def _styled(style: Style, codes: str) -> Style:
    parts = codes.replace(":", ";").split(";")
    while parts:
        code = parts.pop(0)
        if code in ("", "0"):
            style = Style()
        elif code == "7":
            style = replace(style, reverse=True)
        elif code == "27":
            style = replace(style, reverse=False)
        elif code == "39":
            style = replace(style, colour="")
        elif code in ("38", "48", "58"):
            length = 2 if parts[:1] == ["5"] else 4
            colour = ";".join([code, *parts[:length]])
            del parts[:length]
            if code == "38":
                style = replace(style, colour=colour)
        elif re.fullmatch("[39][0-7]", code):
            style = replace(style, colour=code)
    return style


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read(), "Neovim"))
