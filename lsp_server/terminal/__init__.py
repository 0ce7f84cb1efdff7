"""A small editor in the terminal: what ``fimble try`` opens.

    screen     the screen and its keys; drawing makes its lines, colours their colours
    editor     what a key does: to the text, to the ghost text, to the server
    files      what is edited, read and written back
    completer  the text at a server, over LSP: a client like any other
    buffer, ghost, characters, status_line    pure: texts in, texts out

It knows nothing of models, and nothing of the server but what it says.
"""

from lsp_server.terminal.files import OpenFile, open_file
from lsp_server.terminal.sample import sample
from lsp_server.terminal.screen import ScreenUnusable, edit

__all__ = ["OpenFile", "ScreenUnusable", "edit", "open_file", "sample"]
