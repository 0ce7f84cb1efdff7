"""A small editor in the terminal: what ``fimble try`` opens.

    screen      the screen layout and key bindings; `drawing` renders the text, `colours` highlights it
    editor      the editor's commands, on the text, the ghost text and the server
    files       opens files and saves them
    completer   the LSP client
    buffer, ghost, characters, status_line    pure functions of text

It uses `fimble serve` over LSP, as any editor does.
"""

from lsp_server.terminal.files import OpenFile, open_file
from lsp_server.terminal.sample import sample
from lsp_server.terminal.screen import ScreenUnusable, edit

__all__ = ["OpenFile", "ScreenUnusable", "edit", "open_file", "sample"]
