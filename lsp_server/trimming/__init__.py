"""The parts of trimming: what stands around a cursor, and what of a text does not belong there.

trim ▶ **trimming**. `cursor` is what stands around the cursor, `nesting` follows brackets and strings,
`overlap` compares with the rest of the cursor's line, `repetition` and `indentation` look at single lines,
and `wholeness` goes back to what is whole, in Python by `python_syntax`.
"""

from lsp_server.trimming.trim import Piece, Trim, trim

__all__ = ["Piece", "Trim", "trim"]
