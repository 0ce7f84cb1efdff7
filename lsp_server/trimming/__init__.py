"""Trims completions: decides where one ends, and drops what doesn't fit the code around the cursor.

`trim` has the interface. `cursor_context` is what surrounds the cursor, `syntax` tracks brackets and strings,
`overlap` compares with the rest of the line, `repetition` and `indentation` check single lines, `unprintable`
single characters, and `completeness` cuts a text back to a complete part, with `python_syntax` for Python.
"""

from lsp_server.trimming.trim import Piece, Trim, trim

__all__ = ["Piece", "Trim", "trim"]
