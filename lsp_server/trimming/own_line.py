"""Decides whether what a model writes where a line's text begins is a line of its own, before that text.

It is if the text of the cursor's line follows the model's first line, or if the model stops at its end.
"""

from __future__ import annotations

from lsp_server.trimming.cursor_context import CursorContext
from lsp_server.trimming.repetition import similar
from lsp_server.trimming.seam import shares_end


class OwnLine:
    """Reads what follows the first line; `decided` is whether that is a line of its own, if that is known."""

    def __init__(self, cursor: CursorContext) -> None:
        self.decided: bool | None = None
        self._rest = cursor.rest.strip()
        self._line = ""

    @staticmethod
    def may_be(line: str, cursor: CursorContext) -> bool:
        """Whether `line` may stand before the cursor's: it is not the same, and does not continue in it."""
        if cursor.before.strip() or cursor.auto_closed or cursor.state.inside is not None or not line.strip():
            return False
        return not similar(line, cursor.rest) and not shares_end(line, cursor)

    def feed(self, piece: str) -> None:
        """Take more of the line that follows."""
        self._line += piece
        body = self._line.strip()
        if body.startswith(self._rest):
            self.decided = True
        elif not self._rest.startswith(body):
            self.decided = False

    def end_line(self) -> None:
        """That line has ended; the next one follows."""
        if self._line.strip():
            self.decided = self._line.strip() == self._rest
        self._line = ""

    def finish(self) -> None:
        """The model has stopped."""
        if self.decided is None:
            self.decided = True
