"""Trims completions: decides where one ends, and drops what doesn't fit the code around the cursor.

`trim` has the interface. `cursor_context` is what surrounds the cursor, `syntax` tracks brackets and strings,
`end_blocks` blocks that a word closes. `overlap` compares with the rest of the line: `seam` where that is
more than an editor inserts, `own_line` where it begins the line. `repetition` and `indentation` check lines,
`unprintable`, `control_spellings` and `chat` end a text that is no code, and `completeness` cuts it back to a
complete part, with `python_syntax` for Python.
"""

from lsp_server.trimming.trim import Piece, Trim, trim

__all__ = ["Piece", "Trim", "trim"]
