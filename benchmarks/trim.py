"""Does Python source still parse after a completion has been accepted?

    python benchmarks/trim.py [--cases 500] [--seed 1] [--model MODEL] [--failures]

Spans are deleted from files of the standard library. The model completes at the gap, the completion is
trimmed as by the server and inserted as by an editor, and the whole file is parsed. There are two classes,
with `--cases` completions of each:

easy    the file parses without the span, so an accepted completion must not break it
hard    it does not: the code is unfinished, and only a fitting completion makes it parse

If nothing is shown, that is counted, and another case is drawn.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import math
import random
import statistics
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

from lsp_server.completion.cursor_text import CursorText  # noqa: E402
from lsp_server.document import Document  # noqa: E402
from lsp_server.settings import Settings  # noqa: E402
from lsp_server.trimming.trim import Trim  # noqa: E402
from model_runtime import Backend, CompletionRequest, ModelOptions, open_backend  # noqa: E402

Class = Literal["easy", "hard"]

MIN_FILE, MAX_FILE = 1_000, 100_000  # characters of a file that is used
MAX_STATEMENTS = 5
EXCLUDED = {"test", "tests", "idlelib", "lib2to3", "encodings", "site-packages", "__pycache__"}


@dataclass(frozen=True)
class Case:
    """A real file with a gap: `prefix` + `middle` + `suffix` parses."""

    file: str
    kind: str
    prefix: str
    middle: str
    suffix: str

    @property
    def difficulty(self) -> Class:
        """Whether the file parses with the gap left open."""
        return "easy" if parses(self.prefix + self.suffix) else "hard"


@dataclass(frozen=True)
class Written:
    """The completion of a case as it was streamed; `cut` if a limit ended it."""

    chunks: tuple[str, ...]
    cut: bool


@dataclass(frozen=True)
class Shown:
    """The trimmed completion, how many characters after the cursor it replaces, and the time of trimming."""

    text: str
    covers: int
    milliseconds: float


def parses(text: str) -> bool:
    """Whether `text` is syntactically valid Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in strings
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def files() -> list[Path]:
    """Files of the standard library, in order of their paths."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = (path for path in library.rglob("*.py") if not EXCLUDED & set(path.relative_to(library).parts))
    return sorted(path for path in found if MIN_FILE <= path.stat().st_size <= MAX_FILE)


def cases(seed: int) -> Iterator[Case]:
    """An endless stream of cases of all kinds in turn; reproducible for the same seed and Python."""
    randomness = random.Random(seed)
    paths = files()
    while True:
        for kind, gap in GAPS.items():
            path = randomness.choice(paths)
            try:
                text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
            except UnicodeDecodeError:
                continue
            if not parses(text) or (span := gap(text, randomness)) is None:
                continue
            start, end, suffix = span
            yield Case(path.name, kind, text[:start], text[start:end], suffix)


Span = tuple[int, int, str]
"""Start and end of the middle, and the suffix, usually the rest of the text."""


def _line_gap(text: str, randomness: random.Random) -> Span | None:
    """A line without its indentation."""
    start, line = _random_line(text, randomness)
    indentation = len(line) - len(line.lstrip())
    return start + indentation, start + len(line), text[start + len(line) :]


def _rest_gap(text: str, randomness: random.Random) -> Span | None:
    """The rest of a line."""
    start, line = _random_line(text, randomness)
    column = randomness.randint(len(line) - len(line.lstrip()) + 1, len(line))
    if column == len(line):
        return None
    return start + column, start + len(line), text[start + len(line) :]


def _closed_gap(text: str, randomness: random.Random) -> Span | None:
    """The rest of a line in which an editor has closed every open bracket."""
    gap = _rest_gap(text, randomness)
    if gap is None:
        return None
    start, end, suffix = gap
    open_ones: list[str] = []
    for character in text[text.rfind("\n", 0, start) + 1 : start]:
        if character in "([{":
            open_ones.append({"(": ")", "[": "]", "{": "}"}[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
    middle = text[start:end].rstrip(":")
    closers = "".join(reversed(open_ones))
    if not closers or not middle.endswith(closers):
        return None
    return start, start + len(middle) - len(closers), closers + text[start + len(middle) : end] + suffix


def _arguments_gap(text: str, randomness: random.Random) -> Span | None:
    """The text between two brackets of a line."""
    start, line = _random_line(text, randomness)
    opened = [column for column, character in enumerate(line) if character in "([{"]
    if not opened:
        return None
    column = randomness.choice(opened)
    depth = 0
    for end in range(column, len(line)):
        depth += (line[end] in "([{") - (line[end] in ")]}")
        if depth == 0:
            break
    if depth or end == column + 1:
        return None
    return start + column + 1, start + end, text[start + end :]


def _statements_gap(text: str, randomness: random.Random) -> Span | None:
    """Some statements of a block, but not all; the indentation is already typed."""
    bodies = [body for body in _bodies(text) if len(body) > 1]
    if not bodies:
        return None
    body = randomness.choice(bodies)
    number = randomness.randint(1, min(MAX_STATEMENTS, len(body) - 1))
    first = randomness.randint(0, len(body) - number)
    span = _lines_of(text, body[first : first + number])
    return span and (*span, text[span[1] :])


def _block_gap(text: str, randomness: random.Random) -> Span | None:
    """A whole block, from before or after the line break of the line that opens it."""
    bodies = [body for body in _bodies(text) if body[0].lineno > 1]
    if not bodies:
        return None
    span = _lines_of(text, randomness.choice(bodies))
    if span is None:
        return None
    start, end = span
    if randomness.random() < 0.5:
        start = text.rfind("\n", 0, start)
    return start, end, text[end:]


def _end_gap(text: str, randomness: random.Random) -> Span | None:
    """Some statements of a block, with no text after them: the end of an unfinished file."""
    gap = _statements_gap(text, randomness)
    return gap and (gap[0], gap[1], "\n")


GAPS: dict[str, Callable[[str, random.Random], Span | None]] = {
    "line": _line_gap,
    "rest of line": _rest_gap,
    "… with brackets closed": _closed_gap,
    "between brackets": _arguments_gap,
    "statements": _statements_gap,
    "block": _block_gap,
    "end of file": _end_gap,
}


def _random_line(text: str, randomness: random.Random) -> tuple[int, str]:
    """The start of a line that is not blank, and the line."""
    while True:
        start = text.rfind("\n", 0, randomness.randrange(len(text))) + 1
        line = text[start:].partition("\n")[0]
        if line.strip():
            return start, line


def _bodies(text: str) -> list[list[ast.stmt]]:
    """All blocks of statements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    fields = (
        (getattr(node, name, None) for name in ("body", "orelse", "finalbody")) for node in ast.walk(tree)
    )
    return [body for node in fields for body in node if isinstance(body, list) and body]


def _lines_of(text: str, statements: Sequence[ast.stmt]) -> tuple[int, int] | None:
    """From the first of `statements`, after its indentation, to the end of the last one's line."""
    decorators: list[ast.expr] = getattr(statements[0], "decorator_list", [])
    first = min([statements[0].lineno, *(decorator.lineno for decorator in decorators)])
    lines = text.split("\n")
    indentation = len(lines[first - 1]) - len(lines[first - 1].lstrip())
    if statements[0].col_offset != indentation:
        return None  # not the first on its line
    start = sum(len(line) + 1 for line in lines[: first - 1]) + indentation
    end = sum(len(line) + 1 for line in lines[: statements[-1].end_lineno]) - 1
    return start, end


class ModelWriter:
    """Gets completions from the model with the server's requests."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings

    async def write(self, case: Case) -> Written:
        """The completion of a case, until trimming needs no more or the deadline is reached."""
        request = request_of(case, self._settings)
        if self._settings.latency_budget_ms is not None:
            request = replace(request, deadline=time.monotonic() + self._settings.latency_budget_ms / 1000)
        trim = trim_of(request)
        received = []
        cut = False
        async with aclosing(self._backend.complete(request)) as chunks:
            async for chunk in chunks:
                received.append(chunk.text)
                cut = chunk.finish in ("length", "deadline")
                trim.feed(chunk.text)
                if trim.done:
                    break
        return Written(tuple(received), cut and not trim.done)


def request_of(case: Case, settings: Settings) -> CompletionRequest:
    """The request for a case."""
    document = Document(case.prefix + case.suffix, uri="file:///case.py", language="python")
    cursor = CursorText.at(document, document.position_at(len(case.prefix)))
    return cursor.request(document, settings)


def trim_of(request: CompletionRequest) -> Trim:
    """The trimming of the answer to `request`."""
    return Trim(request.prefix, request.suffix, language=request.language)


def show(case: Case, written: Written, settings: Settings) -> Shown:
    """The text that is shown of `written`, and the time of trimming."""
    request = request_of(case, settings)
    started = time.perf_counter()
    trim = trim_of(request)
    for chunk in written.chunks:
        trim.feed(chunk)
    text = trim.finish(cut=written.cut)
    return Shown(text, trim.covers, (time.perf_counter() - started) * 1000)


def accepted(case: Case, shown: Shown) -> str:
    """The file after the completion has been accepted."""
    return case.prefix + shown.text + case.suffix[shown.covers :]


class Tally:
    """Counts the completions of one class."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()
        self.parsed: Counter[str] = Counter()
        self.nothing = 0
        self.milliseconds: list[float] = []

    def add(self, case: Case, shown: Shown) -> bool:
        """Count one completion; returns whether the file parses with it."""
        self.milliseconds.append(shown.milliseconds)
        if not shown.text:
            self.nothing += 1
            return True
        right = parses(accepted(case, shown))
        self.shown[case.kind] += 1
        self.parsed[case.kind] += right
        return right

    def report(self, difficulty: Class) -> str:
        """The shares with their 95 % Wilson intervals."""
        total, right = self.shown.total(), self.parsed.total()
        low, high = wilson(right, total)
        times = sorted(self.milliseconds)
        lines = [
            f"{difficulty}: {right} of {total} shown parse, {right / total:.1%} ({low:.1%} to {high:.1%}); "
            f"nothing was shown {self.nothing} times",
            f"  trimming took {statistics.median(times):.2f} ms, p95 {times[int(0.95 * len(times))]:.2f} ms",
            *(f"  {kind:24} {self.parsed[kind]:4} of {self.shown[kind]:4}" for kind in self.shown),
        ]
        return "\n".join(lines)


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share."""
    z, share = 1.96, right / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


async def measure(wanted: int, seed: int, model: str | None, failures: bool) -> None:
    """Draw cases until `wanted` completions of each class have been shown."""
    settings = Settings(model=model)
    backend = open_backend(ModelOptions(model=model))
    writer = ModelWriter(backend, settings)
    tallies: dict[Class, Tally] = {"easy": Tally(), "hard": Tally()}
    for case in cases(seed):
        tally = tallies[case.difficulty]
        if tally.shown.total() >= wanted:
            if all(tally.shown.total() >= wanted for tally in tallies.values()):
                break
            continue
        shown = show(case, await writer.write(case), settings)
        if not tally.add(case, shown) and failures:
            above, below = case.prefix.split("\n")[-4:], case.suffix[shown.covers :].split("\n")[:3]
            marked = "\n".join(above) + f"⟦{shown.text}⟧" + "\n".join(below)
            sys.stdout.write(f"--- {case.difficulty}, {case.kind}, {case.file}\n{marked}\n")
    await backend.close()
    for difficulty, tally in tallies.items():
        sys.stdout.write(f"{tally.report(difficulty)}\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=500, metavar="N", help="completions shown in each class")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the cases")
    parser.add_argument("--model", metavar="MODEL", help="a folder or a name (default: the default model)")
    parser.add_argument("--failures", action="store_true", help="show every completion that breaks a file")
    arguments = parser.parse_args(argv)
    asyncio.run(measure(arguments.cases, arguments.seed, arguments.model, arguments.failures))


if __name__ == "__main__":
    main()
