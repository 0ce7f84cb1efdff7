"""How often is a word, a bracket or a line doubled where text follows the cursor?

    python -m benchmarks.places [--places 300] [--folder FOLDER …] [--model MODEL] [--seed 1] [--json FILE]

`fimble serve` is asked over pipes, as an editor asks, at random places of Python's standard library, and of
the JavaScript, Go, C and Markdown files in the folders given: inside identifiers, at words within a line, and
where a line's text begins. `benchmarks.doubled` judges each document with the completion accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.doubled import FAULTS, faults
from lsp_server.bench.machine import this_machine
from lsp_server.bench.typist import Editor
from lsp_server.document import Document, Position, Range

Kind = Literal["inside a word", "at a word", "at a line's start"]

PATTERNS: Final[dict[Kind, re.Pattern[str]]] = {
    "inside a word": re.compile(r"[^\W\d]\w{2,}"),
    "at a word": re.compile(r"(?<=[^\w\n])(?<!^)[^\W\d]\w*", re.MULTILINE),
    "at a line's start": re.compile(r"(?<=^)[^\S\n]*(?=\S)", re.MULTILINE),
}
SUFFIXES: Final = {"javascript": ".js", "go": ".go", "c": ".c .h", "markdown": ".md"}
SMALLEST, LARGEST = 1_000, 100_000
"""Bytes of a file that is used."""


@dataclass
class Tally:
    """What was counted for one language and kind of place."""

    language: str
    kind: Kind
    places: int = 0
    shown: int = 0
    faulty: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The faulty part of what was shown."""
        return self.faulty / self.shown if self.shown else 0.0


def files_of(language: str, folders: Sequence[Path]) -> list[Path]:
    """Files of a language; Python's are those of the standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found: set[Path] = set()
    for folder in [library] if language == "python" else folders:
        for suffix in SUFFIXES.get(language, ".py").split():
            found.update(folder.rglob(f"*{suffix}"))
    unwanted = {"site-packages", "test", "tests"} if language == "python" else set()
    return sorted(
        path
        for path in found
        if not unwanted & set(path.parts) and path.is_file() and SMALLEST <= path.stat().st_size <= LARGEST
    )


def places(paths: Sequence[Path], kind: Kind, seed: int) -> Iterator[tuple[Path, str, int]]:
    """Random places: files, their texts and offsets; reproducible for the same files."""
    randomness = random.Random(f"{seed} {kind}")
    while True:
        path = randomness.choice(paths)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        text = text.replace("\r\n", "\n")
        if max(map(len, text.split("\n"))) > 500:
            continue  # minified
        matches = [match for match in PATTERNS[kind].finditer(text) if _is_place(match, kind, text)]
        if not matches:
            continue
        match = randomness.choice(matches)
        if kind == "inside a word":
            yield path, text, randomness.randrange(match.start() + 1, match.end())
        else:
            yield path, text, match.start() if kind == "at a word" else match.end()


def _is_place(match: re.Match[str], kind: Kind, text: str) -> bool:
    if kind != "at a word":
        return True
    return bool(text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip())


class Asker:
    """Asks a server for completions, each in a document of its own that it closes again."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._number = 0

    async def ask(self, path: Path, language: str, text: str, offset: int) -> tuple[str, str] | None:
        """What would be inserted at `offset` and the text it replaces after it; None if nothing is shown."""
        self._number += 1
        uri = f"file:///places/{self._number}/{path.name}"
        document = Document(text, uri=uri, language=language, encoding="utf-32")
        cursor = document.position_at(offset)
        self._editor.open(document)
        answer = await self._editor.complete(document, cursor, lambda items: None)
        self._editor.close(document)
        items = answer["items"] if answer else []
        return _insertion(document, cursor, items[0]) if items else None


def _insertion(document: Document, cursor: Position, item: Any) -> tuple[str, str]:
    start, end = (Position(**item["range"][side]) for side in ("start", "end"))
    typed = document.text_in(Range(start, cursor))
    text: str = item["insertText"]
    assert text.startswith(typed)
    return text[len(typed) :].replace("\r\n", "\n"), document.text_in(Range(cursor, end))


async def measure(arguments: argparse.Namespace) -> list[Tally]:
    """Count what is shown at the places of each language and kind."""
    editor = await Editor.start(["--model", arguments.model] if arguments.model else [])
    asker = Asker(editor)
    tallies = []
    try:
        for language in ("python", *(SUFFIXES if arguments.folder else ())):
            paths = files_of(language, arguments.folder)
            if not paths:
                print(f"{language}: skipped, there are no such files", file=sys.stderr)
                continue
            for kind in PATTERNS:
                found = places(paths, kind, arguments.seed)
                tally = Tally(language, kind)
                for _ in range(arguments.places):
                    await _count(tally, asker, next(found), show=arguments.show)
                tallies.append(tally)
                print(_row(tally), file=sys.stderr, flush=True)
    finally:
        await editor.stop()
    return tallies


async def _count(tally: Tally, asker: Asker, place: tuple[Path, str, int], *, show: bool) -> None:
    path, text, offset = place
    tally.places += 1
    insertion = await asker.ask(path, tally.language, text, offset)
    if insertion is None:
        return
    inserted, removed = insertion
    before, after = text[:offset], text[offset + len(removed) :]
    found = faults(before, inserted, after, removed)
    tally.shown += 1
    tally.faulty += bool(found)
    tally.faults.update(found)
    if found and show:
        above, below = "\n".join(before.split("\n")[-3:]), "\n".join(after.split("\n")[:3])
        print(f"--- {path.name}, {tally.kind}: {', '.join(sorted(found))}\n{above}⟦{inserted}⟧{below}")


def _row(tally: Tally) -> str:
    counts = " ".join(f"{tally.faults[fault]:8}" for fault in FAULTS)
    return (
        f"{tally.language:12} {tally.kind:18} {tally.places:6} {tally.shown:6} {counts} "
        f"{tally.faulty:6} {tally.share:6.1%}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--places", type=int, default=300, metavar="N", help="of each kind and language")
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="with files of other languages"
    )
    parser.add_argument("--model", metavar="MODEL", help="a folder or a name (default: the default model)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the places")
    parser.add_argument("--show", action="store_true", help="show every completion with a fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts there")
    arguments = parser.parse_args(argv)
    tallies = asyncio.run(measure(arguments))
    shown, faulty = sum(tally.shown for tally in tallies), sum(tally.faulty for tally in tallies)
    heads = " ".join(f"{fault:>8}" for fault in FAULTS)
    print(f"{'language':12} {'place':18} {'places':>6} {'shown':>6} {heads} {'faulty':>6} {'share':>6}")
    for tally in tallies:
        print(_row(tally))
    share = faulty / shown if shown else 0.0
    print(f"{faulty} of {shown} shown ({share:.1%}) double something; {this_machine()}")
    if arguments.json:
        rows = [{**vars(tally), "share": tally.share} for tally in tallies]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
