"""Do snippets of other open files help the model, and what does selecting them cost?

    python benchmarks/context.py --held-out HELDOUT.jsonl [--cases 300] [--seed 1] [--model MODEL]
    python benchmarks/context.py --latency

HELDOUT.jsonl is written by `python -m recipes.default_model corpus`: files of packages that the default model
was not trained on. A case is a cursor in a file that uses names which another file of its package defines.
The other files (at most 20) are opened, each with a cursor at a random line, then this one, as by an editor.
The model completes the rest of the line with and without the resulting snippets; a completion is right if its
first line is exactly the file's. There are two kinds of cases, `--cases` of each:

finished   anywhere in the file, with all text after the cursor
growing    in the first lines of a file that is still being written: nothing follows

A prompt has snippets only if the file leaves room for them, so in long finished files it has none. How
snippets are selected was tuned on the first half of the packages by name (`--half tune`); the result is
measured on the other half (`--half report`, the default).

`--latency` measures only the selection, with 20 open files of 10,000 lines.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

from lsp_server.context.definitions import defined_name, words  # noqa: E402
from lsp_server.context.selection import Context  # noqa: E402
from lsp_server.document import Document, Position, Range  # noqa: E402
from model_runtime import open_backend  # noqa: E402
from model_runtime.api import Backend, CompletionRequest, ModelOptions, Snippet, Usage  # noqa: E402
from model_runtime.evaluation import SourceFile, read_source_files  # noqa: E402

MAX_OPEN: Final = 20
MAX_TOKENS: Final = 48
GROWING_LINES: Final = range(10, 60)
RESAMPLES: Final = 5_000  # of the bootstrap

Kind = Literal["finished", "growing"]


@dataclass(frozen=True)
class Case:
    """A cursor in a file, the rest of its line as the answer, and the other files of its package.

    `uses_other` tells whether the answer uses a name that one of those defines.
    """

    path: str
    prefix: str
    answer: str
    suffix: str
    others: tuple[SourceFile, ...]
    uses_other: bool


@dataclass(frozen=True)
class Outcome:
    """One case, without snippets and with them; `shown` tells whether the prompt had room for any."""

    without: bool
    with_them: bool
    shown: bool
    gather_ms: float
    uses_other: bool


def main() -> None:
    arguments = parse_arguments()
    if arguments.latency:
        measure_latency(random.Random(arguments.seed))
        return
    packages = read_packages(arguments.held_out, arguments.half)
    print(f"{arguments.half} half: {', '.join(packages)}; at most {arguments.cases} cases of each kind")
    kinds: tuple[Kind, ...] = ("finished", "growing")
    for kind in kinds:
        cases = draw_cases(packages, kind, arguments.cases, random.Random(arguments.seed))
        outcomes = asyncio.run(run(cases, arguments.model, arguments.seed))
        report(kind, outcomes, random.Random(arguments.seed))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the effect of context from other files.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--held-out", type=Path, metavar="HELDOUT.jsonl", help="the packages to take cases from"
    )
    what.add_argument("--latency", action="store_true", help="measure only the time of the selection")
    parser.add_argument(
        "--half", choices=("tune", "report", "both"), default="report", help="of the packages"
    )
    parser.add_argument("--cases", type=int, default=300, metavar="N", help="of each kind")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--model", metavar="MODEL", help="a folder or a name (default: ours)")
    return parser.parse_args()


def read_packages(path: Path, half: str) -> dict[str, list[SourceFile]]:
    """The files of each package that has more than one."""
    packages: dict[str, list[SourceFile]] = defaultdict(list)
    for file in read_source_files(path):
        packages[file.package].append(file)
    names = sorted(packages, key=str.lower)
    middle = len(names) // 2
    chosen = {"tune": names[:middle], "report": names[middle:], "both": names}[half]
    return {name: packages[name] for name in chosen if len(packages[name]) > 1}


def draw_cases(
    packages: dict[str, list[SourceFile]], kind: Kind, count: int, draw: random.Random
) -> list[Case]:
    """`count` cases, from each package in turn."""
    cursors = {name: list(_cursors(files, kind)) for name, files in packages.items()}
    for found in cursors.values():
        draw.shuffle(found)
    cases: list[Case] = []
    while len(cases) < count and any(cursors.values()):
        for name, found in cursors.items():
            if found and len(cases) < count:
                cases.append(_case(packages[name], *found.pop(), kind, draw))
    return cases


def _cursors(
    files: Sequence[SourceFile], kind: Kind
) -> Iterator[tuple[SourceFile, int, int, frozenset[str]]]:
    """Lines of code in files that use names of other files: file, start, end, and those names."""
    defined = {file.path: _definitions(file.text) for file in files}
    for file in files:
        elsewhere = frozenset().union(*(defined[path] for path in defined if path != file.path))
        foreign = (elsewhere - defined[file.path]) & set(words(file.text))
        if foreign:
            for number, start, end in _code_lines(file.text):
                if kind == "finished" or number in GROWING_LINES:
                    yield file, start, end, foreign


def _case(
    files: Sequence[SourceFile],
    file: SourceFile,
    start: int,
    end: int,
    foreign: frozenset[str],
    kind: Kind,
    draw: random.Random,
) -> Case:
    cursor = start if draw.random() < 0.5 else draw.randrange(start, end)
    answer = file.text[cursor:end]
    others = [one for one in files if one is not file]
    draw.shuffle(others)
    return Case(
        path=file.path,
        prefix=file.text[:cursor],
        answer=answer,
        suffix=file.text[end:] if kind == "finished" else "",
        others=tuple(others[:MAX_OPEN]),
        uses_other=not foreign.isdisjoint(words(answer)),
    )


def _definitions(text: str) -> set[str]:
    return {name for line in text.split("\n") if (name := defined_name(line, "python"))}


def _code_lines(text: str) -> Iterator[tuple[int, int, int]]:
    """Number, start (after the indentation) and end of lines of code, except imports."""
    skipped = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        code = line.strip()
        if code and not code.startswith("#") and number not in skipped:
            yield number, start + len(line) - len(line.lstrip()), start + len(line.rstrip())
        start += len(line) + 1


async def run(cases: Sequence[Case], model: str | None, seed: int) -> list[Outcome]:
    """Complete every case without snippets and with them."""
    backend = open_backend(ModelOptions(model))
    draw = random.Random(seed)
    outcomes = []
    try:
        await backend.load()
        for case in cases:
            snippets, gather_ms = gather(case, draw)
            bare, bare_usage = await complete(backend, case, ())
            rich, rich_usage = await complete(backend, case, snippets)
            outcomes.append(
                Outcome(
                    without=bare == case.answer.rstrip(),
                    with_them=rich == case.answer.rstrip(),
                    shown=bare_usage is None
                    or bare_usage.prompt_tokens != getattr(rich_usage, "prompt_tokens", None),
                    gather_ms=gather_ms,
                    uses_other=case.uses_other,
                )
            )
    finally:
        await backend.close()
    return outcomes


def gather(case: Case, draw: random.Random) -> tuple[tuple[Snippet, ...], float]:
    """The snippets that the server selects for a case, and how long the selection takes."""
    context = Context(["file:///w"])
    for file in case.others:
        other = Document(file.text, uri=f"file:///w/{file.path}", language="python")
        context.opened(other)
        context.snippets(other, Position(draw.randrange(other.line_count), 0))
    document = Document(case.prefix + case.suffix, uri=f"file:///w/{case.path}", language="python")
    context.opened(document)
    position = document.position_at(len(case.prefix))
    started = time.perf_counter()
    snippets = context.snippets(document, position)
    return snippets, 1000 * (time.perf_counter() - started)


async def complete(backend: Backend, case: Case, snippets: tuple[Snippet, ...]) -> tuple[str, Usage | None]:
    """The first line of the completion, and its usage."""
    request = CompletionRequest(
        prefix=case.prefix[-12_000:],
        suffix=case.suffix[:4_000],
        snippets=snippets,
        language="python",
        max_tokens=MAX_TOKENS,
    )
    text, usage = "", None
    async with aclosing(backend.complete(request)) as chunks:
        async for chunk in chunks:
            text, usage = text + chunk.text, chunk.usage or usage
            if "\n" in text:
                break
    return text.split("\n")[0].rstrip(), usage


def report(kind: Kind, outcomes: Sequence[Outcome], draw: random.Random) -> None:
    shown = [one for one in outcomes if one.shown]
    print(f"\n{kind}: {len(outcomes)} cases; the prompt shows snippets in {len(shown)}")
    groups = (
        ("all", outcomes),
        ("with snippets in the prompt", shown),
        ("… with a name of another file in the answer", [one for one in shown if one.uses_other]),
    )
    for name, group in groups:
        if group:
            print(f"  {name} ({len(group)})")
            print(f"    exact match without  {_interval([one.without for one in group], draw)}")
            print(f"    exact match with     {_interval([one.with_them for one in group], draw)}")
            differences = [one.with_them - one.without for one in group]
            gained, lost = differences.count(1), differences.count(-1)
            print(f"    difference           {_interval(differences, draw)}   ({gained} gained, {lost} lost)")
    times = sorted(one.gather_ms for one in outcomes)
    print(f"  selection: p50 {_quantile(times, 0.5):.2f} ms, p95 {_quantile(times, 0.95):.2f} ms")


def _interval(values: Sequence[float], draw: random.Random) -> str:
    """A mean with its bootstrapped 95 % confidence interval."""
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    low, high = _quantile(means, 0.025), _quantile(means, 0.975)
    return f"{statistics.fmean(values):6.1%}  [{low:.1%}, {high:.1%}]"


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure_latency(draw: random.Random) -> None:
    """Print the processor time of each notification and each request."""
    library = [
        path for path in sorted(Path(ast.__file__).parent.glob("*.py")) if path.stat().st_size > 20_000
    ]
    lines = [line for path in library for line in path.read_text(encoding="utf-8").split("\n")]
    context = Context(["file:///w"])
    documents = []
    for number in range(MAX_OPEN):
        start = draw.randrange(len(lines) - 10_000)
        text = "\n".join(lines[start : start + 10_000])
        documents.append(Document(text, uri=f"file:///w/m{number}.py", language="python"))
    spent: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, action: Callable[[], object]) -> None:
        started = time.thread_time()
        action()
        spent[name].append(1000 * (time.thread_time() - started))

    for document in documents:
        timed("a file is opened", partial(context.opened, document))
    for _ in range(200):  # a line is typed at a random place of a random file
        document, line = draw.choice(documents), draw.randrange(10_000)
        timed("request elsewhere: selected anew", partial(context.snippets, document, Position(line, 0)))
        for column in range(20):
            where = Range(Position(line, column), Position(line, column))
            document.replace("x", where)
            timed("a key is typed", partial(context.changed, document, where))
            timed("request while typing", partial(context.snippets, document, Position(line, column + 1)))
    requests = spent["request elsewhere: selected anew"] + spent["request while typing"]
    spent["all requests"] = requests
    print(f"{MAX_OPEN} open files of 10,000 lines; milliseconds of processor time")
    for name, times in spent.items():
        times.sort()
        figures = (
            f"{label} {_quantile(times, share):8.3f}"
            for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        )
        print(f"  {name:<32} {'  '.join(figures)}  max {times[-1]:8.3f}")


if __name__ == "__main__":
    main()
