"""What stands on a terminal's screen, with its colours, and a picture of it.

tmux capture-pane -e -p | python -m tests.editors.screen > picture.svg
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final
from xml.sax.saxutils import escape

_ESCAPE = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\([AB0]|\x0f|\x0e")


_PALETTE: Final = {
    **{"": "#d4d4d8", "90": "#7f848e", "31": "#e06c75", "91": "#e06c75", "32": "#98c379", "92": "#98c379"},
    **{"33": "#e5c07b", "93": "#e5c07b", "34": "#61afef", "94": "#61afef", "35": "#c678dd", "95": "#c678dd"},
    **{"36": "#56b6c2", "96": "#56b6c2", "37": "#d4d4d8", "97": "#ffffff", "30": "#3f4451"},
}
"""A picture's colours, by the codes that choose them on a terminal."""

_WIDTH, _HEIGHT, _EDGE, _TITLE = 8.4, 19, 14, 34  # of a cell, of the edge, of the title; in pixels


@dataclass(frozen=True)
class Style:
    """How a cell is drawn: its colour as the codes that choose it, such as ``90`` or ``38;5;8``."""

    colour: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Cell:
    """One character of the screen."""

    character: str
    style: Style


def cells(captured: str) -> list[list[Cell]]:
    """The lines of what `tmux capture-pane -e -p` prints."""
    lines, style = [], Style()
    for line in captured.split("\n"):
        found, style = _line(line, style)
        lines.append(found)
    return lines


def text_in(captured: str, colour: str) -> str:
    """What is drawn in `colour`, line by line; lines without any are left out."""
    lines = (
        "".join(cell.character for cell in line if cell.style.colour == colour) for line in cells(captured)
    )
    return "\n".join(line for line in lines if line.strip())


def picture(captured: str, title: str) -> str:
    """The screen as an SVG that needs no font of its own: each word stands where it stood."""
    lines = cells(captured.rstrip("\n"))
    width = max(len(line) for line in lines) * _WIDTH + 2 * _EDGE
    height = len(lines) * _HEIGHT + _TITLE + _EDGE
    font = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-size="14" '
        f'font-family="{font}">\n<rect width="100%" height="100%" rx="8" fill="#1e1f24"/>\n'
        f'<text x="50%" y="22" text-anchor="middle" fill="#9a9ca5">{escape(title)}</text>\n'
    )
    return (
        head + "\n".join(word for row, line in enumerate(lines) for word in _words(row, line)) + "\n</svg>\n"
    )


def _words(row: int, line: list[Cell]) -> Iterator[str]:
    """The words of a line, each as SVG's text."""
    column = 0
    for (style, space), group in groupby(line, key=lambda cell: (cell.style, cell.character == " ")):
        word = "".join(cell.character for cell in group)
        if not space:
            weight = ' font-weight="bold"' if style.bold else ""
            colour = _PALETTE.get(style.colour, _PALETTE[""])
            x, y = _EDGE + column * _WIDTH, _TITLE + (row + 0.8) * _HEIGHT
            length = f'textLength="{len(word) * _WIDTH:g}" lengthAdjust="spacingAndGlyphs"'
            yield f'<text x="{x:g}" y="{y:g}" {length} fill="{colour}"{weight}>{escape(word)}</text>'
        column += len(word)


def _line(line: str, style: Style) -> tuple[list[Cell], Style]:
    """The cells of a line that begins in a style, and the style it ends in: the next one goes on with it."""
    found: list[Cell] = []
    end = 0
    for code in _ESCAPE.finditer(line):
        found += [Cell(character, style) for character in line[end : code.start()]]
        if code[1] is not None:
            style = _styled(style, code[1])
        end = code.end()
    return found + [Cell(character, style) for character in line[end:]], style


def _styled(style: Style, codes: str) -> Style:
    parts = codes.replace(":", ";").split(";")
    while parts:
        code = parts.pop(0)
        if code in ("", "0"):
            style = Style()
        elif code in ("1", "22"):
            style = replace(style, bold=code == "1")
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
