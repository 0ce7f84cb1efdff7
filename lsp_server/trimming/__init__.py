"""The parts of trimming: what stands around a cursor, and what of a text does not belong there.

trim ▶ **trimming**. `cursor` is what stands around the cursor, `nesting` follows brackets and strings,
`overlap` compares with the rest of the cursor's line, `repetition` and `indentation` look at single lines,
`unprintable` at single characters, and `wholeness` goes back to what is whole, in Python by `python_syntax`.
"""

from lsp_server.trimming.cursor import BLANK, OPENERS, Cursor, Room
from lsp_server.trimming.indentation import Style, width
from lsp_server.trimming.overlap import Piece, certain
from lsp_server.trimming.python_syntax import regions
from lsp_server.trimming.repetition import LineEchoes, LoopDetector
from lsp_server.trimming.unprintable import until_unprintable
from lsp_server.trimming.wholeness import whole

__all__ = [
    "BLANK",
    "OPENERS",
    "Cursor",
    "LineEchoes",
    "LoopDetector",
    "Piece",
    "Room",
    "Style",
    "certain",
    "regions",
    "until_unprintable",
    "whole",
    "width",
]
