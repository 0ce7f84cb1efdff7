"""What a key does: to the text, to the ghost text beside it, and to what the server is asked.

screen ▶ **editor** ▶ {buffer, ghost, completer, files}. It knows neither keys nor colours.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from lsp_server.document import Edit, Position
from lsp_server.terminal.buffer import Buffer
from lsp_server.terminal.completer import Answer, Completer, Connect, Opened
from lsp_server.terminal.files import NotSaved, OpenFile
from lsp_server.terminal.ghost import Ghost, grown, read_item
from lsp_server.terminal.status_line import Figures

_LATENCIES: Final = 100


class Editor:
    """A file, its text, and the completions of it. `news` is called when what is shown may be another.

    `ghost` is what is shown beside the cursor, one of the `candidates`; `message` is for the user, until the
    next key.
    """

    def __init__(self, file: OpenFile, connect: Connect, news: Callable[[], None]) -> None:
        self.file = file
        self.buffer = Buffer(file.text, file.cursor, self._edited)
        self.completer = Completer(connect, self._document, self._opened, self._told)
        self.ghost: Ghost | None = None
        self.candidates: Sequence[Ghost] = ()
        self.message = ""
        self._news = news
        self._by_hand = False
        self._asked_at: float | None = None
        self._told_shown: object = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._answers = self._from_memory = 0
        self._warned = False

    @property
    def figures(self) -> Figures:
        """How quick it has been."""
        return Figures(
            last_ms=self._latencies[-1] if self._latencies else None,
            median_ms=median(self._latencies) if self._latencies else None,
            from_memory=self._from_memory / self._answers if self._answers else None,
        )

    @property
    def candidate(self) -> int:
        """The number of the candidate that is shown, from 0."""
        return next((i for i, one in enumerate(self.candidates) if one is self.ghost), 0)

    def pressed(self, *, quitting: bool = False) -> None:
        """A key is pressed, which may be the one for `quitting`; what was said of the last one is read."""
        self.message = ""
        self._warned = self._warned and quitting

    def type(self, text: str) -> None:
        """Insert what was typed."""
        self._insert(text, lambda: self.buffer.insert(text, typed=True))

    def paste(self, text: str) -> None:
        """Insert what was pasted, as it is."""
        self._insert(text, lambda: self.buffer.insert(text))

    def enter(self) -> None:
        """Begin a line, indented as the ones above it."""
        self._insert(self.buffer.next_line_text(), self.buffer.enter)

    def tab(self) -> None:
        """Accept the ghost text; indent where there is none."""
        if self.ghost is not None:
            self._accept(self.ghost)
        else:
            self.buffer.indent()
            self._suggest()

    def word(self) -> None:
        """Accept a word of the ghost text; go to the next word where there is none."""
        ghost = self.ghost
        if ghost is None:
            self.move(self.buffer.move_word_right)
        elif ghost.first_word == ghost.text:
            self._accept(ghost)
        else:
            word = ghost.first_word
            self._insert(word, lambda: self.buffer.insert(word))
            self.completer.partly_accepted(ghost.item, ghost.accepted_units(word))

    def dismiss(self) -> None:
        """Show no ghost text until something is typed."""
        self.completer.cancel()
        self._forget()

    def invoke(self) -> None:
        """Ask for completions by hand, of which there may be several."""
        self._suggest(invoked=True)

    def cycle(self, step: int) -> None:
        """Show the next candidate, or the previous one; ask for some where only one is known."""
        if len(self.candidates) < 2:
            self.invoke()
            return
        self._show(self.candidates[(self.candidate + step) % len(self.candidates)], final=True)

    def toggle(self) -> None:
        """Switch completions off, or on again."""
        self.dismiss()
        self.completer.toggle()

    def backspace(self) -> None:
        """Delete before the cursor."""
        self._delete(self.buffer.backspace)

    def delete(self) -> None:
        """Delete after the cursor."""
        self._delete(self.buffer.delete)

    def undo(self) -> None:
        """Take the last step back."""
        self._forget()
        if not self.buffer.undo():
            self.message = "nothing is left to undo"

    def redo(self) -> None:
        """Make it again."""
        self._forget()
        if not self.buffer.redo():
            self.message = "nothing is left to redo"

    def move(self, move: Callable[[], None]) -> None:
        """Move the cursor, by one of the buffer's ways to."""
        self.dismiss()
        move()

    def move_to(self, line: int, column: int) -> None:
        """Put the cursor where the user has clicked."""
        self.move(lambda: self.buffer.move_to(Position(line, column)))

    def save(self) -> None:
        """Write the file, which has a name; the message says how it went."""
        try:
            self.file.save(self.buffer.text)
        except NotSaved as error:
            self.message = str(error)
            return
        self.buffer.saved()
        self.completer.saved()
        self.message = f"saved {self.file.name}"

    def save_as(self, name: str) -> None:
        """Write the text to a file that there is not yet, which is the one that is edited from now on."""
        path = Path(name).expanduser()
        if path.exists():
            self.message = f"there is a {name} already: choose another name"
            return
        before, self.file = self.file, replace(self.file, name=name, path=path)
        self.save()
        if self.buffer.changed:
            self.file = before
        else:
            self._forget()
            self.completer.renamed()

    def may_quit(self) -> bool:
        """Whether nothing is lost by quitting, or the user was told once and wants to."""
        if not self.buffer.changed or self._warned:
            return True
        self._warned = True
        self.message = "there are unsaved changes: Ctrl-S saves them, Ctrl-Q again quits without them"
        return False

    def _insert(self, text: str, insert: Callable[[], None]) -> None:
        """Insert `text` at the cursor; the ghost text that goes on after it stays."""
        left = self.ghost.after(text) if self.ghost is not None else None
        insert()
        self.ghost = left
        self.candidates = ()
        self._suggest()

    def _accept(self, ghost: Ghost) -> None:
        self.buffer.insert(ghost.text, over=len(ghost.covered))
        self.completer.accepted(ghost.item)
        self._forget()
        self._suggest()

    def _delete(self, delete: Callable[[], None]) -> None:
        revision = self.buffer.revision
        self._forget()
        delete()
        if self.buffer.revision != revision:
            self._suggest()

    def _suggest(self, *, invoked: bool = False) -> None:
        """Ask what belongs at the cursor."""
        self._by_hand = invoked
        # Loading the model is no part of what a key costs.
        loaded = self.completer.state.state in ("ready", "generating")
        self._asked_at = time.perf_counter() if loaded else None
        self.completer.ask(self.buffer.utf16(self.buffer.cursor), self._heard, invoked=invoked)

    def _opened(self) -> None:
        """A server is there. A file that is only looked at has nothing missing at its start."""
        if not self.buffer.text or self.buffer.cursor != Position(0, 0):
            self._suggest()

    def _heard(self, answer: Answer) -> None:
        cursor = self.buffer.cursor
        line = self.buffer.line(cursor.line)
        read = [read_item(item, line, cursor.character) for item in answer.items]
        ghosts = [ghost for ghost in read if ghost is not None]
        if ghosts and self._asked_at is not None:
            self._latencies.append(1000 * (time.perf_counter() - self._asked_at))
            self._asked_at = None
        first = ghosts[0] if ghosts else None
        if answer.final:
            self.candidates = ghosts
            if ghosts and answer.source is not None:
                self._answers += 1
                self._from_memory += answer.source == "memory"
            if self._by_hand and not ghosts:
                self.message = "nothing is suggested here"
        self._show(first if answer.final else grown(self.ghost, first), final=answer.final)
        self._news()

    def _show(self, ghost: Ghost | None, *, final: bool) -> None:
        self.ghost = ghost
        if final and ghost is not None and ghost.id != self._told_shown:
            self._told_shown = ghost.id
            self.completer.shown(ghost.item)

    def _forget(self) -> None:
        self.ghost = None
        self.candidates = ()

    def _edited(self, edit: Edit) -> None:
        self.completer.edited(edit)

    def _document(self) -> Opened:
        return Opened(self.file.uri, self.file.language, self.buffer.text)

    def _told(self, message: str) -> None:
        self.message = message or self.message
        self._news()
