"""What else is worth showing the model: open documents, recent edits, definitions of the names at the cursor.

server ▶ **context** ▶ {definitions, ring, exclusions, languages, document}. The server tells what happens to
documents; a session asks for the `snippets` that go with a cursor.

Candidates are pieces of 8 lines or so: of the chunks of a ring, which are the places that the user has been
to; around the last edits; and the definitions of names that stand near the cursor. They are ranked by the
words that they share with the lines around the cursor, as Copilot ranks its neighbouring tabs, and the most
useful come first, since a prompt takes the first ones that fit. They are pieces of real code: those help even
a very small model, which bare signatures and a file's path do not.

What a model sees before the cursor may not change with every key, or all that it has computed would be void.
So the choice is made once and stands until the cursor is a block of lines away, or the user was in another
file; and even then it stays while nothing new is worth showing.

Nothing is read from disk. Documents that are closed are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from lsp_server.context.definitions import defined_name, definition_length, words
from lsp_server.context.exclusions import may_show_document
from lsp_server.context.ring import CHUNK_LINES, PIECE_LINES, Chunk, Piece, Ring
from lsp_server.document import Document, Position, Range
from lsp_server.languages import family_of, language_of
from model_runtime.api import Snippet

CURSOR_MOVE: Final = 32
"""Lines; where the cursor has gone farther than that, the place that it left is remembered."""

BLOCK: Final = 16
"""Lines; a choice of snippets stands while the cursor is no farther than that from where it was made."""

MOST_CHARACTERS: Final = 8_000
"""Of all snippets together: more than the rest of the largest prompt has room for."""

MOST_DOCUMENTS: Final = 64
LONGEST_DOCUMENT: Final = 50_000  # lines; definitions in longer ones, which are generated, are not looked for

_NEAR_BEFORE, _NEAR_AFTER = 24, 8  # lines around the cursor whose words say what is being worked on
_SHOWN_BEFORE, _SHOWN_AFTER = 12_000, 4_000  # characters around the cursor that the prompt may show anyway
_MOST_SHOWN: Final = 0.5  # share of a piece's lines that may be in the prompt already
_MOST_DEFINITIONS: Final = 24  # looked at for one choice
_MOST_PIECES: Final = 256  # remembered of one document
_MOST_PLACES: Final = 3  # where a name is defined in more documents, it says little
_EDITS: Final = 4  # remembered of one document
_EDIT_MARGIN: Final = 4  # lines shown around an edit; nearer edits are one

_DEFINITION_BONUS: Final = 0.05
_EDIT_BONUS: Final = 0.05


@dataclass
class _Open:
    """An open document that may be shown, and what is known of it.

    `count` is how many lines it had when last looked at. `edits` are the last places that were changed, from
    a line up to a line, newest first. `cursor` is the line where the user was last, and `taken` where a chunk
    was taken.
    """

    document: Document
    path: str
    family: str
    count: int = 0
    edits: list[tuple[int, int]] = field(default_factory=list)
    cursor: int = 0
    taken: int = 0
    _names: list[str | None] | None = None  # what each line defines, if anything
    _definitions: dict[str, int] | None = None
    _pieces: dict[tuple[int, int], Piece | None] = field(default_factory=dict)

    @property
    def definitions(self) -> dict[str, int]:
        """Every name that is defined here, and the first line that does it."""
        if self._definitions is None:
            if self._names is None:
                self._names = self._scan(0, self.count) if self.count <= LONGEST_DOCUMENT else []
            last = len(self._names) - 1
            self._definitions = {
                name: last - line for line, name in enumerate(reversed(self._names)) if name is not None
            }
        return self._definitions

    def replaced(self) -> None:
        """All of its text is another one."""
        self.count = self.document.line_count
        self.edits.clear()
        self._names = self._definitions = None
        self._pieces.clear()

    def edited(self, first: int, kept: int) -> None:
        """All lines but those before `first` and the last `kept` may have changed, in number too."""
        moved = self.document.line_count - self.count
        self.count += moved
        if self._names:
            found = self._scan(first, self.count - kept)
            old = slice(first, len(self._names) - kept)
            if found != self._names[old]:
                self._names[old] = found
                self._definitions = None
        self._pieces.clear()
        self._note(first, self.count - kept, moved)

    def _note(self, first: int, last: int, moved: int) -> None:
        """Remember the edit that the lines from `first` up to `last` come from; those after have `moved`."""
        edits = []
        for start, end in self.edits:
            if start > last - moved + _EDIT_MARGIN:
                edits.append((start + moved, end + moved))
            elif end < first - _EDIT_MARGIN:
                edits.append((start, end))
            else:  # they are one, of which the end is what was typed last
                first, last = min(first, start), max(last, end + moved)
        self.edits = [(max(first, last - PIECE_LINES), last), *edits][:_EDITS]

    def _scan(self, first: int, last: int) -> list[str | None]:
        language = self.document.language
        return [defined_name(self.document.line(number), language) for number in range(first, last)]

    def text(self, first: int, last: int) -> list[str]:
        """The lines from `first` up to `last`, as far as there are any."""
        last = min(last, self.document.line_count)
        return [self.document.line(number) for number in range(max(first, 0), last)]

    def piece(self, first: int, last: int) -> Piece | None:
        """The lines from `first` up to `last` as a piece to show, if there is anything in them."""
        if (first, last) not in self._pieces:
            if len(self._pieces) > _MOST_PIECES:
                self._pieces.clear()
            self._pieces[first, last] = Piece.take(self.document.uri, self.path, self.text(first, last))
        return self._pieces[first, last]

    def definition(self, line: int) -> Piece | None:
        """The definition that begins at `line`, or so much of it that one knows it."""
        return self.piece(line, line + definition_length(self.text(line, line + PIECE_LINES)))


@dataclass(frozen=True)
class _Choice:
    """The snippets for a cursor at `line` of the document `uri`; `sources` are where they come from."""

    uri: str
    line: int
    snippets: tuple[Snippet, ...]
    sources: frozenset[str]


class Context:
    """What the documents of one editor have to tell each other.

    `roots` are the URIs of the workspace's folders: the model sees paths from there on.
    """

    def __init__(self, roots: Sequence[str] = ()) -> None:
        self._roots = tuple(_path(root).rstrip("/") + "/" for root in roots)
        self._open: dict[str, _Open] = {}  # the one that was worked in last comes last
        self._ring = Ring()
        self._choice: _Choice | None = None

    def opened(self, document: Document) -> None:
        """The editor has opened `document`; it is looked at whenever it is asked about, and never changed."""
        self.closed(document.uri)
        if not may_show_document(document.uri):
            return
        opened = _Open(document, self._shown_path(document.uri), _family(document))
        opened.replaced()
        opened.definitions  # noqa: B018  looked for now, when nobody waits for a completion
        self._open[document.uri] = opened
        self._take(opened)
        self._choice = None
        while len(self._open) > MOST_DOCUMENTS:
            self.closed(next(iter(self._open)))

    def changed(self, document: Document, where: Range | None) -> None:
        """What was at `where`, or everything, has been replaced: to be told after each single change."""
        opened = self._open.get(document.uri)
        if opened is None:
            return
        before, after = opened.count, document.line_count
        if where is None:
            opened.replaced()
            self._visit(opened, min(opened.cursor, after - 1))
            return
        start, end = sorted((where.start.line, where.end.line))
        first = max(0, min(start, before, after) - 1)  # the line before may end in half a line end
        kept = max(0, min(before - 1 - end, after - first))
        opened.edited(first, kept)
        self._visit(opened, min(start, after - 1))

    def saved(self, uri: str) -> None:
        """The editor has saved the document."""
        if (opened := self._open.get(uri)) is not None:
            self._take(opened)

    def focused(self, uri: str) -> None:
        """The user is in this document now."""
        if (opened := self._open.get(uri)) is not None:
            self._visit(opened, opened.cursor)

    def closed(self, uri: str) -> None:
        """The editor has closed the document: it is shown no longer."""
        self._open.pop(uri, None)
        self._ring.forget(uri)
        if self._choice is not None and uri in (self._choice.uri, *self._choice.sources):
            self._choice = None

    def snippets(self, document: Document, position: Position) -> tuple[Snippet, ...]:
        """What is worth showing with `position` of `document`, the most useful first.

        The same tuple while the user types: it may change where another document was opened, worked in or
        closed, and when the cursor is more than a `BLOCK` of lines from where it was chosen.
        """
        line = min(position.line, document.line_count - 1)
        opened = self._open.get(document.uri)
        if opened is not None:
            self._visit(opened, line)
        choice = self._choice
        if choice is None or choice.uri != document.uri or abs(line - choice.line) > BLOCK:
            old = choice.snippets if choice is not None and choice.uri == document.uri else ()
            pieces = self._choose(document, line)
            new = tuple(Snippet(piece.path, piece.text) for piece in pieces)
            if old and set(new) <= set(old):  # the model has read these already
                choice = _Choice(document.uri, line, old, choice.sources if choice else frozenset())
            else:
                choice = _Choice(document.uri, line, new, frozenset(piece.uri for piece in pieces))
            self._choice = choice
        return choice.snippets

    def _visit(self, opened: _Open, line: int) -> None:
        """The user is there. What is left by that is remembered."""
        last = next(reversed(self._open.values()))
        if last is not opened:
            self._take(last)
            self._open[opened.document.uri] = self._open.pop(opened.document.uri)
            self._choice = None
        if abs(line - opened.taken) > CURSOR_MOVE:
            self._take(opened)
            opened.taken = line
        opened.cursor = line

    def _take(self, opened: _Open) -> None:
        """Remember where the user is in a document."""
        opened.taken = opened.cursor
        middle = min(opened.cursor, opened.document.line_count)
        start = max(0, middle - CHUNK_LINES // 2) // PIECE_LINES * PIECE_LINES
        chunk = Chunk.take(opened.document.uri, opened.path, opened.text(start, start + CHUNK_LINES))
        if chunk is not None:
            self._ring.add(chunk)

    def _choose(self, document: Document, line: int) -> list[Piece]:
        """The pieces to show with a cursor at `line`, the most useful first."""
        start = Position(line, 0)
        before, after = document.prefix(start, _SHOWN_BEFORE), document.suffix(start, _SHOWN_AFTER)
        above, below = _lines(before), _lines(after)
        around = [*below[: _NEAR_AFTER + 1], *above[-_NEAR_BEFORE:][::-1]]
        near = list(dict.fromkeys(words("\n".join(around))))
        wanted = frozenset(near)
        shown = {text.strip() for text in (*above, *below)}
        ranked = sorted(self._candidates(document, near), key=lambda one: -_score(one[0], one[1], wanted))
        chosen: list[Piece] = []
        room = MOST_CHARACTERS
        for piece, _ in ranked:
            if len(piece.text) <= room and len(piece.lines & shown) <= _MOST_SHOWN * len(piece.lines):
                chosen.append(piece)
                shown |= piece.lines
                room -= len(piece.text)
        return chosen

    def _candidates(self, document: Document, near: Sequence[str]) -> Iterator[tuple[Piece, float]]:
        """Pieces in the languages of `document`, each with its worth beside its words; newest first."""
        family = _family(document)
        related = {uri: one for uri, one in reversed(self._open.items()) if one.family == family}
        for chunk in self._ring:
            if chunk.uri in related:
                yield from ((piece, 0.0) for piece in chunk.pieces)
        related.pop(document.uri, None)
        others = list(related.values())
        for one in others:
            for first, last in one.edits:
                if (piece := one.piece(first - _EDIT_MARGIN, last + _EDIT_MARGIN)) is not None:
                    yield piece, _EDIT_BONUS
        for one, line in islice(_definitions(others, near), _MOST_DEFINITIONS):
            if (piece := one.definition(line)) is not None:
                yield piece, _DEFINITION_BONUS

    def _shown_path(self, uri: str) -> str:
        """A document's path from its workspace's folder on, or the end of its path."""
        path = _path(uri)
        for root in self._roots:
            if path.startswith(root):
                return path[len(root) :]
        return "/".join(PurePosixPath(path).parts[-3:]).lstrip("/")


def _definitions(others: Sequence[_Open], near: Sequence[str]) -> Iterator[tuple[_Open, int]]:
    """Where the names `near` the cursor are defined in the `others`, nearest name first."""
    wanted = set(near)
    places: dict[str, list[tuple[_Open, int]]] = {}
    for one in others:
        for name in wanted & one.definitions.keys():
            places.setdefault(name, []).append((one, one.definitions[name]))
    for name in near:
        found = places.get(name, ())
        if len(found) <= _MOST_PLACES:
            yield from found


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _score(piece: Piece, bonus: float, wanted: frozenset[str]) -> float:
    """What a piece is worth: the share of words that it and the cursor's lines have in common (Jaccard)."""
    common = len(piece.words & wanted)
    return bonus + common / (len(piece.words) + len(wanted) - common or 1)


def _family(document: Document) -> str:
    """What documents have in common whose code is worth showing to each other."""
    if document.language:
        return family_of(document.language)
    path = _path(document.uri)
    return family_of(language_of(path)) or PurePosixPath(path).suffix.lower()


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)
