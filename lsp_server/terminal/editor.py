"""The commands of the editor, on the text, the ghost text and the server. `screen` binds keys to them."""

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
from lsp_server.terminal.completer import Answer, Completer, Connect, OpenDocument
from lsp_server.terminal.files import NotSaved, OpenFile
from lsp_server.terminal.ghost import Ghost, latest, read_item
from lsp_server.terminal.status_line import Latencies

_MAX_RECENT: Final = 100


class Editor:
    """A file, its text and its completions. `on_change` is called when the screen has to be redrawn.

    `ghost` is the ghost text at the cursor, one of the `candidates`; `message` is shown until the next key.
    """

    def __init__(self, file: OpenFile, connect: Connect, on_change: Callable[[], None]) -> None:
        self.file = file
        self.buffer = Buffer(file.text, file.cursor, self._edited)
        self.completer = Completer(connect, self._document, self._opened, self._state_changed)
        self.ghost: Ghost | None = None
        self.candidates: Sequence[Ghost] = ()
        self.message = ""
        self._on_change = on_change
        self._invoked = False
        self._asked_at: float | None = None
        self._reported_id: object = None
        self._recent_ms: deque[float] = deque(maxlen=_MAX_RECENT)
        self._answers = self._from_memory = 0
        self._warned = False

    @property
    def latencies(self) -> Latencies:
        """How fast the completions were so far."""
        return Latencies(
            last_ms=self._recent_ms[-1] if self._recent_ms else None,
            median_ms=median(self._recent_ms) if self._recent_ms else None,
            from_memory=self._from_memory / self._answers if self._answers else None,
        )

    @property
    def candidate(self) -> int:
        """The index of the candidate that is shown."""
        return next((i for i, one in enumerate(self.candidates) if one is self.ghost), 0)

    def key_pressed(self, *, quitting: bool = False) -> None:
        """A key was pressed: clear the message. `quitting` says that it was the key to quit."""
        self.message = ""
        self._warned = self._warned and quitting

    def type(self, text: str) -> None:
        """Insert typed text."""
        self._insert(text, lambda: self.buffer.insert(text, typed=True))

    def paste(self, text: str) -> None:
        """Insert pasted text unchanged."""
        self._insert(text, lambda: self.buffer.insert(text))

    def enter(self) -> None:
        """Begin a new, indented line."""
        self._insert(self.buffer.new_line(), self.buffer.enter)

    def tab(self) -> None:
        """Accept the ghost text; indent if there is none."""
        if self.ghost is not None:
            self._accept(self.ghost)
        else:
            self.buffer.indent()
            self._suggest()

    def accept_word(self) -> None:
        """Accept a word of the ghost text; move to the next word if there is none."""
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
        """Hide the ghost text until something is typed."""
        self.completer.cancel()
        self._forget()

    def invoke(self) -> None:
        """Ask for completions explicitly; there may be several."""
        self._suggest(invoked=True)

    def cycle(self, step: int) -> None:
        """Show the next candidate, or the previous one; ask for more if only one is known."""
        if len(self.candidates) < 2:
            self.invoke()
            return
        self._show(self.candidates[(self.candidate + step) % len(self.candidates)], final=True)

    def toggle(self) -> None:
        """Turn completions off or on."""
        self.dismiss()
        self.completer.toggle()

    def backspace(self) -> None:
        """Delete before the cursor."""
        self._delete(self.buffer.backspace)

    def delete(self) -> None:
        """Delete after the cursor."""
        self._delete(self.buffer.delete)

    def undo(self) -> None:
        """Undo the last step."""
        self._forget()
        if not self.buffer.undo():
            self.message = "nothing to undo"

    def redo(self) -> None:
        """Redo it."""
        self._forget()
        if not self.buffer.redo():
            self.message = "nothing to redo"

    def move(self, move: Callable[[], None]) -> None:
        """Move the cursor with one of the buffer's methods."""
        self.dismiss()
        move()

    def move_to(self, line: int, column: int) -> None:
        """Move the cursor to where the user has clicked."""
        self.move(lambda: self.buffer.move_to(Position(line, column)))

    def save(self) -> None:
        """Save the file, which must have a path; the message tells the result."""
        try:
            self.file.save(self.buffer.text)
        except NotSaved as error:
            self.message = str(error)
            return
        self.buffer.saved()
        self.completer.saved()
        self.message = f"saved {self.file.name}"

    def save_as(self, name: str) -> None:
        """Save the text to a new file and go on editing that."""
        path = Path(name).expanduser()
        if path.exists():
            self.message = f"{name} exists already: choose another name"
            return
        before, self.file = self.file, replace(self.file, name=name, path=path)
        self.save()
        if self.buffer.changed:
            self.file = before
        else:
            self._forget()
            self.completer.renamed()

    def may_quit(self) -> bool:
        """Whether to quit: there are no unsaved changes, or the user was warned already."""
        if not self.buffer.changed or self._warned:
            return True
        self._warned = True
        self.message = "there are unsaved changes: Ctrl-S saves them, Ctrl-Q again quits without them"
        return False

    def _insert(self, text: str, insert: Callable[[], None]) -> None:
        """Insert `text` at the cursor, and keep the ghost text if it continues with `text`."""
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
        """Ask for completions at the cursor."""
        self._invoked = invoked
        # Time to load the model is not latency.
        loaded = self.completer.state.state in ("ready", "generating")
        self._asked_at = time.perf_counter() if loaded else None
        self.completer.ask(self.buffer.utf16(self.buffer.cursor), self._answered, invoked=invoked)

    def _opened(self) -> None:
        """A server has started. At the start of a file that was just opened, nothing has to be completed."""
        if not self.buffer.text or self.buffer.cursor != Position(0, 0):
            self._suggest()

    def _answered(self, answer: Answer) -> None:
        cursor = self.buffer.cursor
        line = self.buffer.line(cursor.line)
        read = [read_item(item, line, cursor.character) for item in answer.items]
        ghosts = [ghost for ghost in read if ghost is not None]
        if ghosts and self._asked_at is not None:
            self._recent_ms.append(1000 * (time.perf_counter() - self._asked_at))
            self._asked_at = None
        first = ghosts[0] if ghosts else None
        if answer.final:
            self.candidates = ghosts
            if ghosts and answer.source is not None:
                self._answers += 1
                self._from_memory += answer.source == "memory"
            if self._invoked and not ghosts:
                self.message = "no suggestions here"
        self._show(first if answer.final else latest(self.ghost, first), final=answer.final)
        self._on_change()

    def _show(self, ghost: Ghost | None, *, final: bool) -> None:
        self.ghost = ghost
        if final and ghost is not None and ghost.id != self._reported_id:
            self._reported_id = ghost.id
            self.completer.shown(ghost.item)

    def _forget(self) -> None:
        self.ghost = None
        self.candidates = ()

    def _edited(self, edit: Edit) -> None:
        self.completer.edited(edit)

    def _document(self) -> OpenDocument:
        return OpenDocument(self.file.uri, self.file.language, self.buffer.text)

    def _state_changed(self, message: str) -> None:
        self.message = message or self.message
        self._on_change()
