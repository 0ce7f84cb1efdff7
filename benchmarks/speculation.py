"""What drafts without a draft model gain: completions over real code, with them and without.

    python benchmarks/speculation.py [--places 60] [--seed 0] [--model MODEL] [--fp32] [--json FILE]

Places are drawn from the standard library's and this repository's files. At each, a completion of at most 64
tokens is made twice, in turns: plainly, and with drafts. Its prompt is computed beforehand. Situations:

next lines          the cursor is at a line's start
each key            a line is typed, and every key asks anew; what was offered before it is a source
lines of the file   as the first
copied              a definition follows that repeats the one above it under other names
rewritten           a definition is written again under other names; its old text is a source

In the first two the model writes what it likes. What the others call for it may not be able to write: there
the tokens are given, as they stand in the file, while passes are still the model's own and take their time.

Greedy tokens are compared, and whether they differ anywhere is printed: with int8 products they may, where
two tokens are all but equally likely, as logits then depend a little on how many rows are computed at once.
"""

from __future__ import annotations

import argparse
import ast
import json
import keyword
import re
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor  # noqa: E402

from model_runtime import CompletionRequest  # noqa: E402
from model_runtime.checkpoints import load  # noqa: E402
from model_runtime.decoding import AcceptanceStats, Cache, Decoder, NgramDrafter, Sampler, generate  # noqa: E402
from model_runtime.decoding.speculate import MAX_DRAFT_ROWS  # noqa: E402
from model_runtime.models import resolve  # noqa: E402
from model_runtime.prompting.fim import find_sentinels  # noqa: E402
from model_runtime.prompting.healing import Healer  # noqa: E402
from model_runtime.prompting.prompt import lay_out  # noqa: E402
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer  # noqa: E402

SMALLEST, LARGEST = 3_000, 100_000  # characters of a file that is used
MOST_TOKENS = 64
PROMPT_TOKENS = 600
KEYS = 20
MOST_LINES = 5
SOURCES = ("text", "prompt", "previous", "other")


@dataclass(frozen=True)
class Place:
    """A cursor. What is to be written is `answer`, or where that is empty, what the model likes."""

    prefix: str
    suffix: str
    answer: str = ""
    previous: str = ""
    other: str = ""


@dataclass
class Tally:
    """What a situation's completions took, plainly and with drafts; drafted and accepted tokens by source."""

    situation: str
    completions: int = 0
    differing: int = 0
    tokens: int = 0
    passes: int = 0
    plain_seconds: float = 0.0
    seconds: float = 0.0
    drafted: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)


class Watched(NgramDrafter):
    """Counts its drafts by where they are from."""

    tally: Tally

    def record(self, proposed: int, accepted: int) -> None:
        super().record(proposed, accepted)
        assert self.last is not None
        self.tally.drafted[self.last.source] += proposed
        self.tally.accepted[self.last.source] += accepted


class Counted:
    """A decoder whose passes are counted."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.passes = 0

    def forward(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last") -> Tensor:
        self.passes += 1
        return self._decoder.forward(tokens, cache, logits)


class Bench:
    """An open model that completes both ways, each with a cache of its own."""

    def __init__(self, name: str | None, int8: bool) -> None:
        loaded = load(
            resolve(name),
            device=torch.device("cpu"),
            dtype=torch.float32,
            matrices="int8" if int8 else "float",
        )
        self.decoder = loaded.decoder
        self.tokenizer = Tokenizer(loaded.tokenizer, loaded.tokenizer_settings)
        vocabulary = self.decoder.config.vocab_size
        self.sentinels = find_sentinels(self.tokenizer, vocabulary)
        self.stop = frozenset(filter(self.tokenizer.is_control, range(vocabulary)))
        self.healer = Healer(self.tokenizer)
        self.plain, self.drafted = self.decoder.new_cache(), self.decoder.new_cache()
        self.seconds = self._pass_seconds()

    def _pass_seconds(self) -> list[float]:
        """Of passes that are 0, 1, 2, … tokens wide: the quickest of each, measured in turns."""
        times: list[list[float]] = [[] for _ in range(MAX_DRAFT_ROWS + 1)]
        self.decoder.forward(list(range(100, 500)), self.plain)
        for _ in range(31):
            for width in range(1, MAX_DRAFT_ROWS + 1):
                self.plain.rewind(400)
                begun = time.perf_counter()
                self.decoder.forward([7] * width, self.plain, "all")
                times[width].append(time.perf_counter() - begun)
        return [0.0, *map(min, times[1:])]

    def complete(self, place: Place, tally: Tally, stats: AcceptanceStats) -> str:
        """Complete both ways and add that to the tally; returns the text."""
        kept, rolled_back = (place.prefix, "") if place.answer else self.healer.roll_back(place.prefix)
        request = CompletionRequest(kept, place.suffix, language="python")
        prompt = next(lay_out(request, self.tokenizer, self.sentinels, PROMPT_TOKENS)).tokens
        drafter = Watched(
            prompt,
            previous=self.tokenizer.encode(rolled_back + place.previous) if place.previous else [],
            others=[self.tokenizer.encode(place.other)],
            excluded=self.stop,
            stats=stats,
            cost=lambda width: self.seconds[width] / self.seconds[1],
        )
        drafter.tally = tally
        made = []
        for cache, using in ((self.plain, None), (self.drafted, drafter)):
            if cache.reuse(prompt) < len(prompt) - 1:
                self.decoder.forward(prompt[cache.length : -1], cache)
            sample, limit = self._sampler(place, rolled_back)
            decoder, begun = Counted(self.decoder), time.perf_counter()
            steps = generate(decoder, cache, prompt, sample, stop=self.stop, max_tokens=limit, drafter=using)
            made.append([token for token in steps if token is not None])
            if using:
                tally.seconds += time.perf_counter() - begun
                tally.passes += decoder.passes
            else:
                tally.plain_seconds += time.perf_counter() - begun
        tally.completions += 1
        tally.tokens += len(made[0])
        tally.differing += made[0] != made[1]
        text = IncrementalDecoder(self.tokenizer, skip=rolled_back)
        return "".join(map(text.feed, made[0]))

    def _sampler(self, place: Place, rolled_back: str) -> tuple[Callable[[Tensor], int], int]:
        """What writes, and how many tokens."""
        answer = self.tokenizer.encode(place.answer)[:MOST_TOKENS]
        if not answer:
            return self.healer.sampler(Sampler(), rolled_back), MOST_TOKENS
        following = iter(answer)
        return (lambda logits: next(following)), len(answer)


def is_short_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and 4 <= (node.end_lineno or 0) - node.lineno <= 30


def read_files() -> list[str]:
    """The texts that places are drawn from."""
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    ours = [path for room in ("lsp_server", "model_runtime") for path in sorted((ROOT / room).rglob("*.py"))]
    texts = [path.read_text(encoding="utf-8") for path in (*library, *ours)]
    sized = (text for text in texts if SMALLEST <= len(text) <= LARGEST)
    return [text for text in sized if any(map(is_short_function, ast.walk(ast.parse(text))))]


def lines_at(text: str, random: Random) -> Place:
    """Some lines of a file, to be written again."""
    lines = text.splitlines(keepends=True)
    starts = [number for number in range(20, len(lines) - MOST_LINES) if lines[number].strip()]
    start = random.choice(starts or [0])
    end = start + random.randint(1, MOST_LINES)
    return Place("".join(lines[:start]), "".join(lines[end:]), "".join(lines[start:end]))


def definition_in(text: str, random: Random) -> tuple[str, str, str]:
    """What stands before a function, the function, and what stands after it."""
    node = random.choice([node for node in ast.walk(ast.parse(text)) if is_short_function(node)])
    assert isinstance(node, ast.FunctionDef)
    start, end, lines = node.lineno - 1, node.end_lineno, text.splitlines(keepends=True)
    return "".join(lines[:start]), "".join(lines[start:end]), "".join(lines[end:])


def renamed(definition: str, random: Random) -> str:
    """Two of a function's names become others, wherever they stand."""
    names = sorted({*re.findall(r"\b[a-z_]{3,}\b", definition)} - {*keyword.kwlist, "self"})
    for name in random.sample(names, min(2, len(names))):
        definition = re.sub(rf"\b{name}\b", f"new_{name}", definition)
    return definition


def next_lines(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    bench.complete(replace(lines_at(text, random), answer=""), tally, stats)


def lines_of_the_file(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    bench.complete(lines_at(text, random), tally, stats)


def each_key(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    place, offered = lines_at(text, random), ""
    for typed in range(min(KEYS, len(place.answer.split("\n")[0]))):
        key = place.answer[typed - 1 : typed]
        previous = offered[len(key) :] if offered.startswith(key) else offered
        at_key = Place(place.prefix + place.answer[:typed], place.suffix, previous=previous)
        offered = bench.complete(at_key, tally, stats)


def copied(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    before, definition, after = definition_in(text, random)
    bench.complete(Place(f"{before}{definition}\n", after, renamed(definition, random)), tally, stats)


def rewritten(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    before, definition, after = definition_in(text, random)
    answer = renamed(definition, random)
    bench.complete(Place(before, after, answer, other=definition), tally, stats)


SITUATIONS = (next_lines, each_key, lines_of_the_file, copied, rewritten)


def table_of(tallies: Sequence[Tally], seconds: Sequence[float]) -> Table:
    costs = ", ".join(f"{width}: {seconds[width] / seconds[1]:.2f}" for width in (2, 4, 8))
    table = Table(box=None, caption=f"a pass takes {seconds[1] * 1000:.2f} ms; wider ones, relative: {costs}")
    table.add_column("situation")
    numbers = ("tokens", "passes", "a pass", "passes saved", "ms a token", "with drafts", "speed", "differ")
    for name in (*numbers, *SOURCES):
        table.add_column(name, justify="right")
    for tally in tallies:
        table.add_row(
            tally.situation,
            *(str(tally.tokens), str(tally.passes), f"{tally.tokens / tally.passes:.2f}"),
            f"{1 - tally.passes / tally.tokens:.0%}",
            *(f"{1000 * took / tally.tokens:.2f}" for took in (tally.plain_seconds, tally.seconds)),
            f"{tally.plain_seconds / tally.seconds:.2f}×",
            f"{tally.differing}/{tally.completions}",
            *(f"{tally.accepted[source]}/{tally.drafted[source]}" for source in SOURCES),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--places", type=int, default=60, help="for each situation; a tenth as many lines are typed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a folder or a name; the default model where not given")
    parser.add_argument("--fp32", action="store_true", help="matrices not in int8")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    bench, texts, tallies = Bench(options.model, not options.fp32), read_files(), []
    for situation in SITUATIONS:
        # What is learnt in one situation is to be no help in another.
        random, stats = Random(options.seed), AcceptanceStats()
        tallies.append(tally := Tally(situation.__name__.replace("_", " ")))
        places = options.places // 10 if situation is each_key else options.places
        for _ in track(range(places), description=tally.situation, transient=True):
            situation(bench, random.choice(texts), random, tally, stats)
    Console(width=160).print(table_of(tallies, bench.seconds))
    if options.json:
        figures = {"pass_seconds": bench.seconds[1:], "situations": [asdict(tally) for tally in tallies]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
