"""Chooses snippets of the open documents that go into the prompt of a completion.

The server reports what happens to documents; a session asks for the `snippets` for a cursor.

Candidates are excerpts of about 8 lines: places where the user has been (a ring of chunks), the lines around
recent edits, and definitions of names that are used near the cursor. They are ranked by the words that they
share with the lines around the cursor, as Copilot ranks its neighbouring tabs. The most useful come first,
since a prompt takes the first ones that fit. Real code helps even a very small model; bare signatures and a
file's path do not.

The prompt before the cursor must not change with every key, or the KV cache would be useless. So a choice
stands until the cursor is a block of lines away or the user was in another file, and even then if nothing new
is worth showing.

Nothing is read from disk. Closed documents are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Final

from lsp_server.context.definitions import defined_name, definition_length, words
from lsp_server.context.exclusions import is_excluded
from lsp_server.context.ring import CHUNK_LINES, EXCERPT_LINES, Chunk, Excerpt, Ring
from lsp_server.document import Document, Position, Range
from lsp_server.languages import family_of, language_of
from lsp_server.uris import path_of
from model_runtime.api import Snippet

MOVED_LINES: Final = 32
"""When the cursor has moved by more lines than this, the place that it left is remembered."""

BLOCK_LINES: Final = 16
"""A choice of snippets stands while the cursor is within this many lines of where it was made."""

MAX_CHARACTERS: Final = 8_000
"""Of all snippets together: more than the largest prompt has room for beside the file itself."""

MAX_DOCUMENTS: Final = 64
MAX_SCANNED_LINES: Final = 50_000  # longer ones are generated code, and not searched for definitions

_NEAR_BEFORE, _NEAR_AFTER = 24, 8  # lines around the cursor that candidates are compared with
_SHOWN_BEFORE, _SHOWN_AFTER = 12_000, 4_000  # characters around the cursor that the prompt may show anyway
_MAX_SHOWN_SHARE: Final = 0.5  # share of an excerpt's lines that may be in the prompt already
_MAX_DEFINITIONS: Final = 24  # candidates for one choice
_MAX_EXCERPTS: Final = 256  # cached for one document
_MAX_PLACES: Final = 3  # a name that is defined in more documents says little
_MAX_EDITS: Final = 4  # remembered of one document
_EDIT_MARGIN: Final = 4  # lines shown around an edit; edits that are closer together count as one

_DEFINITION_BONUS: Final = 0.05
_EDIT_BONUS: Final = 0.05


@dataclass
class _Open:
    """An open document, with what is derived from its text.

    `count` is its number of lines at the last update. `edits` are the line ranges changed last, newest first.
    `cursor` is the line where the user was last, and `taken` the one where a chunk was last taken.
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
    _excerpts: dict[tuple[int, int], Excerpt | None] = field(default_factory=dict)

    @property
    def definitions(self) -> dict[str, int]:
        """Every name that is defined here, with the first line that defines it."""
        if self._definitions is None:
            if self._names is None:
                self._names = self._scan(0, self.count) if self.count <= MAX_SCANNED_LINES else []
            last = len(self._names) - 1
            self._definitions = {
                name: last - line for line, name in enumerate(reversed(self._names)) if name is not None
            }
        return self._definitions

    def replaced(self) -> None:
        """The whole text was replaced."""
        self.count = self.document.line_count
        self.edits.clear()
        self._names = self._definitions = None
        self._excerpts.clear()

    def edited(self, first: int, kept: int) -> None:
        """All lines may have changed but those before `first` and the last `kept`; so may their number."""
        moved = self.document.line_count - self.count
        self.count += moved
        if self._names:
            found = self._scan(first, self.count - kept)
            old = slice(first, len(self._names) - kept)
            if found != self._names[old]:
                self._names[old] = found
                self._definitions = None
        self._excerpts.clear()
        self._note(first, self.count - kept, moved)

    def _note(self, first: int, last: int, moved: int) -> None:
        """Remember an edit of the lines from `first` up to `last`, which moved those after it by `moved`."""
        edits = []
        for start, end in self.edits:
            if start > last - moved + _EDIT_MARGIN:
                edits.append((start + moved, end + moved))
            elif end < first - _EDIT_MARGIN:
                edits.append((start, end))
            else:  # overlapping edits are joined; the end was typed last
                first, last = min(first, start), max(last, end + moved)
        self.edits = [(max(first, last - EXCERPT_LINES), last), *edits][:_MAX_EDITS]

    def _scan(self, first: int, last: int) -> list[str | None]:
        language = self.document.language
        return [defined_name(self.document.line(number), language) for number in range(first, last)]

    def text(self, first: int, last: int) -> list[str]:
        """The lines from `first` up to `last`, clipped to the document."""
        last = min(last, self.document.line_count)
        return [self.document.line(number) for number in range(max(first, 0), last)]

    def excerpt(self, first: int, last: int) -> Excerpt | None:
        """The lines from `first` up to `last` as an excerpt; None if there is too little in them."""
        if (first, last) not in self._excerpts:
            if len(self._excerpts) > _MAX_EXCERPTS:
                self._excerpts.clear()
            self._excerpts[first, last] = Excerpt.take(self.document.uri, self.path, self.text(first, last))
        return self._excerpts[first, last]

    def definition(self, line: int) -> Excerpt | None:
        """The definition that begins at `line`, or its first lines."""
        return self.excerpt(line, line + definition_length(self.text(line, line + EXCERPT_LINES)))


@dataclass(frozen=True)
class _Choice:
    """The snippets for a cursor at `line` of the document `uri`, made of excerpts."""

    uri: str
    line: int
    snippets: tuple[Snippet, ...]
    excerpts: tuple[Excerpt, ...]

    @property
    def sources(self) -> frozenset[str]:
        """The URIs of the excerpts' documents."""
        return frozenset(excerpt.uri for excerpt in self.excerpts)


class Context:
    """The open documents of one editor, and the snippets chosen from them.

    `roots` are the URIs of the workspace's folders: the model sees paths relative to them.
    """

    def __init__(self, roots: Sequence[str] = ()) -> None:
        self._roots = tuple(path_of(root).rstrip("/") + "/" for root in roots)
        self._open: dict[str, _Open] = {}  # the most recently used one is last
        self._ring = Ring()
        self._choice: _Choice | None = None

    def opened(self, document: Document) -> None:
        """The editor has opened `document`, which is read from then on and never changed here."""
        self.closed(document.uri)
        if is_excluded(document.uri):
            return
        opened = _Open(document, self._shown_path(document.uri), _family(document))
        opened.replaced()
        opened.definitions  # noqa: B018  computed now, when no completion waits for it
        self._open[document.uri] = opened
        self._take(opened)
        self._choice = None
        while len(self._open) > MAX_DOCUMENTS:
            self.closed(next(iter(self._open)))

    def changed(self, document: Document, where: Range | None) -> None:
        """The text at `where`, or all of it, was replaced; call this after each single change."""
        opened = self._open.get(document.uri)
        if opened is None:
            return
        before, after = opened.count, document.line_count
        if self._choice is not None and document.uri in self._choice.sources:
            text = document.text
            own = (excerpt for excerpt in self._choice.excerpts if excerpt.uri == document.uri)
            if not all(excerpt.is_in(text) for excerpt in own):
                self._choice = None
        if where is None:
            opened.replaced()
            self._visit(opened, min(opened.cursor, after - 1))
            return
        start, end = sorted((where.start.line, where.end.line))
        first = max(0, min(start, before, after) - 1)  # the line before may end between \r and \n
        kept = max(0, min(before - 1 - end, after - first))
        opened.edited(first, kept)
        self._visit(opened, min(start, after - 1))

    def saved(self, uri: str) -> None:
        """The editor has saved the document."""
        if (opened := self._open.get(uri)) is not None:
            self._take(opened)

    def focused(self, uri: str) -> None:
        """The user has switched to this document."""
        if (opened := self._open.get(uri)) is not None:
            self._visit(opened, opened.cursor)

    def closed(self, uri: str) -> None:
        """The editor has closed the document, which is no longer shown."""
        self._open.pop(uri, None)
        self._ring.forget(uri)
        if self._choice is not None and uri in (self._choice.uri, *self._choice.sources):
            self._choice = None

    def snippets(self, document: Document, position: Position) -> tuple[Snippet, ...]:
        """The snippets for a cursor at `position` of `document`, the most useful first.

        It is the same tuple while the user types. It may change when another document is opened, used or
        closed, and when the cursor is more than `BLOCK_LINES` from where it was chosen.
        """
        line = min(position.line, document.line_count - 1)
        opened = self._open.get(document.uri)
        if opened is not None:
            self._visit(opened, line)
        choice = self._choice
        if choice is None or choice.uri != document.uri or abs(line - choice.line) > BLOCK_LINES:
            old = choice.snippets if choice is not None and choice.uri == document.uri else ()
            excerpts = tuple(self._choose(document, line))
            new = tuple(Snippet(excerpt.path, excerpt.text) for excerpt in excerpts)
            if choice is not None and old and set(new) <= set(old):  # the old ones are in the KV cache
                choice = _Choice(document.uri, line, old, choice.excerpts)
            else:
                choice = _Choice(document.uri, line, new, excerpts)
            self._choice = choice
        return choice.snippets

    def _visit(self, opened: _Open, line: int) -> None:
        """Record that the user is at `line`, and remember the place they left."""
        last = next(reversed(self._open.values()))
        if last is not opened:
            self._take(last)
            self._open[opened.document.uri] = self._open.pop(opened.document.uri)
            self._choice = None
        if abs(line - opened.taken) > MOVED_LINES:
            self._take(opened)
            opened.taken = line
        opened.cursor = line

    def _take(self, opened: _Open) -> None:
        """Put the chunk around the cursor of a document into the ring."""
        opened.taken = opened.cursor
        middle = min(opened.cursor, opened.document.line_count)
        start = max(0, middle - CHUNK_LINES // 2) // EXCERPT_LINES * EXCERPT_LINES
        chunk = Chunk.take(opened.document.uri, opened.path, opened.text(start, start + CHUNK_LINES))
        if chunk is not None:
            self._ring.add(chunk)

    def _choose(self, document: Document, line: int) -> list[Excerpt]:
        """The excerpts for a cursor at `line`, the most useful first."""
        start = Position(line, 0)
        before, after = document.prefix(start, _SHOWN_BEFORE), document.suffix(start, _SHOWN_AFTER)
        above, below = _lines(before), _lines(after)
        around = [*below[: _NEAR_AFTER + 1], *above[-_NEAR_BEFORE:][::-1]]
        near = list(dict.fromkeys(words("\n".join(around))))
        wanted = frozenset(near)
        shown = {text.strip() for text in (*above, *below)}
        ranked = sorted(self._candidates(document, near), key=lambda one: -_score(one[0], one[1], wanted))
        chosen: list[Excerpt] = []
        room = MAX_CHARACTERS
        for excerpt, _ in ranked:
            if len(excerpt.text) <= room and len(excerpt.lines & shown) <= _MAX_SHOWN_SHARE * len(
                excerpt.lines
            ):
                chosen.append(excerpt)
                shown |= excerpt.lines
                room -= len(excerpt.text)
        return chosen

    def _candidates(self, document: Document, near: Sequence[str]) -> Iterator[tuple[Excerpt, float]]:
        """Excerpts in related languages, newest first, each with a bonus to its score."""
        family = _family(document)
        related = {uri: one for uri, one in reversed(self._open.items()) if one.family == family}
        texts = {chunk.uri: related[chunk.uri].document.text for chunk in self._ring if chunk.uri in related}
        for chunk in self._ring:
            text = texts.get(chunk.uri, "")
            yield from ((excerpt, 0.0) for excerpt in chunk.excerpts if excerpt.is_in(text))
        related.pop(document.uri, None)
        others = list(related.values())
        for one in others:
            for first, last in one.edits:
                if (excerpt := one.excerpt(first - _EDIT_MARGIN, last + _EDIT_MARGIN)) is not None:
                    yield excerpt, _EDIT_BONUS
        for one, line in islice(_definitions(others, near), _MAX_DEFINITIONS):
            if (excerpt := one.definition(line)) is not None:
                yield excerpt, _DEFINITION_BONUS

    def _shown_path(self, uri: str) -> str:
        """A document's path relative to its workspace folder, or its last three parts."""
        path = path_of(uri)
        for root in self._roots:
            if path.startswith(root):
                return path[len(root) :]
        return "/".join(PurePosixPath(path).parts[-3:]).lstrip("/")


def _definitions(others: Sequence[_Open], near: Sequence[str]) -> Iterator[tuple[_Open, int]]:
    """Where the other documents define the names `near` the cursor, the nearest name first."""
    wanted = set(near)
    places: dict[str, list[tuple[_Open, int]]] = {}
    for one in others:
        for name in wanted & one.definitions.keys():
            places.setdefault(name, []).append((one, one.definitions[name]))
    for name in near:
        found = places.get(name, ())
        if len(found) <= _MAX_PLACES:
            yield from found


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _score(excerpt: Excerpt, bonus: float, wanted: frozenset[str]) -> float:
    """The bonus plus the Jaccard similarity between the words of an excerpt and those near the cursor."""
    common = len(excerpt.words & wanted)
    return bonus + common / (len(excerpt.words) + len(wanted) - common or 1)


def _family(document: Document) -> str:
    """The language family of a document; code is shown within a family only."""
    if document.language:
        return family_of(document.language)
    path = path_of(document.uri)
    return family_of(language_of(path)) or PurePosixPath(path).suffix.lower()
