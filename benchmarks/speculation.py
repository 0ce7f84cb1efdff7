"""What speculative decoding without a draft model gains: completions of real code with and without drafts.

    python benchmarks/speculation.py [--places 60] [--seed 0] [--model MODEL] [--fp32] [--json FILE]

Cursors are drawn from files of the standard library and of this repository. At each, at most 64 tokens are
decoded twice, with and without drafts; the prompt is computed beforehand. Situations:

next lines          the cursor is at the start of a line
each key            a line is typed, with a request at every key; the previous completion is a draft source
lines of the file   like the first, with the file's own lines as the completion
copied              the completion is a definition that repeats the one above it under other names
rewritten           the completion is a definition under other names; its old text is a draft source

In the first two the model writes greedily. A small model might not write the completions of the others, so
their tokens are forced, while the forward passes are still computed and measured.

Greedy tokens with and without drafts are compared, and differences are printed. With int8 products there may
be some where two tokens are almost equally likely, since logits depend slightly on the number of rows.
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

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from model_runtime import CompletionRequest  # noqa: E402
from model_runtime.checkpoints import AnyDecoder, load  # noqa: E402
from model_runtime.decoding import (  # noqa: E402
    AcceptanceStats,
    CachedSequence,
    Logits,
    NgramDrafter,
    Sampler,
    TensorLike,
    generate,
)
from model_runtime.decoding.speculate import MAX_DRAFT_ROWS  # noqa: E402
from model_runtime.models import resolve  # noqa: E402
from model_runtime.prompting.fim import find_sentinels  # noqa: E402
from model_runtime.prompting.healing import Healer  # noqa: E402
from model_runtime.prompting.prompt import lay_out  # noqa: E402
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer  # noqa: E402

MIN_FILE, MAX_FILE = 3_000, 100_000  # characters of a file that is used
MAX_TOKENS = 64
PROMPT_TOKENS = 600
KEYS = 20
MAX_LINES = 5
SOURCES = ("text", "prompt", "previous", "other")


@dataclass(frozen=True)
class Cursor:
    """A cursor; its completion is `answer`, or greedy if that is empty. The rest are draft sources."""

    prefix: str
    suffix: str
    answer: str = ""
    previous: str = ""
    other: str = ""


@dataclass
class Tally:
    """Time of a situation's completions without and with drafts; drafted and accepted tokens by source."""

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
    """Counts drafted and accepted tokens by source."""

    tally: Tally

    def record(self, proposed: int, accepted: int) -> None:
        super().record(proposed, accepted)
        assert self.last is not None
        self.tally.drafted[self.last.source] += proposed
        self.tally.accepted[self.last.source] += accepted


class Counted:
    """Counts forward passes."""

    def __init__(self, decoder: AnyDecoder) -> None:
        self._decoder = decoder
        self.passes = 0

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Logits | TensorLike:
        self.passes += 1
        return self._decoder.forward(tokens, cache, logits)


class Bench:
    """An open model that completes without and with drafts, each with a KV cache of its own."""

    def __init__(self, name: str | None, int8: bool) -> None:
        loaded = load(
            resolve(name),
            device="cpu",
            dtype="fp32",
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
        """Times of forward passes over 0, 1, 2, … tokens: the minimum of interleaved measurements."""
        times: list[list[float]] = [[] for _ in range(MAX_DRAFT_ROWS + 1)]
        self.decoder.forward(list(range(100, 500)), self.plain)
        for _ in range(31):
            for width in range(1, MAX_DRAFT_ROWS + 1):
                self.plain.rewind(400)
                begun = time.perf_counter()
                self.decoder.forward([7] * width, self.plain, "all")
                times[width].append(time.perf_counter() - begun)
        return [0.0, *map(min, times[1:])]

    def complete(self, cursor: Cursor, tally: Tally, stats: AcceptanceStats) -> str:
        """Complete without and with drafts and add both to the tally; returns the text."""
        kept, rolled_back = (cursor.prefix, "") if cursor.answer else self.healer.roll_back(cursor.prefix)
        request = CompletionRequest(kept, cursor.suffix, language="python")
        prompt = next(lay_out(request, self.tokenizer, self.sentinels, PROMPT_TOKENS)).tokens
        drafter = Watched(
            prompt,
            previous=self.tokenizer.encode(rolled_back + cursor.previous) if cursor.previous else [],
            others=[self.tokenizer.encode(cursor.other)],
            excluded=self.stop,
            stats=stats,
            cost=lambda width: self.seconds[width] / self.seconds[1],
        )
        drafter.tally = tally
        made = []
        for cache, using in ((self.plain, None), (self.drafted, drafter)):
            if cache.reuse(prompt) < len(prompt) - 1:
                self.decoder.forward(prompt[cache.length : -1], cache)
            sample, limit = self._sampler(cursor, rolled_back)
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

    def _sampler(self, cursor: Cursor, rolled_back: str) -> tuple[Callable[[Logits], int], int]:
        """The sampler, and the maximum number of tokens."""
        answer = self.tokenizer.encode(cursor.answer)[:MAX_TOKENS]
        if not answer:
            return self.healer.sampler(Sampler(), rolled_back), MAX_TOKENS
        following = iter(answer)
        return (lambda logits: next(following)), len(answer)


def is_short_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and 4 <= (node.end_lineno or 0) - node.lineno <= 30


def read_files() -> list[str]:
    """The texts that cursors are drawn from."""
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    ours = [path for room in ("lsp_server", "model_runtime") for path in sorted((ROOT / room).rglob("*.py"))]
    texts = [path.read_text(encoding="utf-8") for path in (*library, *ours)]
    sized = (text for text in texts if MIN_FILE <= len(text) <= MAX_FILE)
    return [text for text in sized if any(map(is_short_function, ast.walk(ast.parse(text))))]


def lines_at(text: str, random: Random) -> Cursor:
    """A cursor before some lines of a file, which are the answer."""
    lines = text.splitlines(keepends=True)
    starts = [number for number in range(20, len(lines) - MAX_LINES) if lines[number].strip()]
    start = random.choice(starts or [0])
    end = start + random.randint(1, MAX_LINES)
    return Cursor("".join(lines[:start]), "".join(lines[end:]), "".join(lines[start:end]))


def definition_in(text: str, random: Random) -> tuple[str, str, str]:
    """The text before a function, the function, and the text after it."""
    node = random.choice([node for node in ast.walk(ast.parse(text)) if is_short_function(node)])
    assert isinstance(node, ast.FunctionDef)
    start, end, lines = node.lineno - 1, node.end_lineno, text.splitlines(keepends=True)
    return "".join(lines[:start]), "".join(lines[start:end]), "".join(lines[end:])


def renamed(definition: str, random: Random) -> str:
    """Rename two of a function's names."""
    names = sorted({*re.findall(r"\b[a-z_]{3,}\b", definition)} - {*keyword.kwlist, "self"})
    for name in random.sample(names, min(2, len(names))):
        definition = re.sub(rf"\b{name}\b", f"new_{name}", definition)
    return definition


def next_lines(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    bench.complete(replace(lines_at(text, random), answer=""), tally, stats)


def lines_of_the_file(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    bench.complete(lines_at(text, random), tally, stats)


def each_key(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    cursor, shown = lines_at(text, random), ""
    for typed in range(min(KEYS, len(cursor.answer.split("\n")[0]))):
        key = cursor.answer[typed - 1 : typed]
        previous = shown[len(key) :] if shown.startswith(key) else shown
        at_key = Cursor(cursor.prefix + cursor.answer[:typed], cursor.suffix, previous=previous)
        shown = bench.complete(at_key, tally, stats)


def copied(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    before, definition, after = definition_in(text, random)
    bench.complete(Cursor(f"{before}{definition}\n", after, renamed(definition, random)), tally, stats)


def rewritten(bench: Bench, text: str, random: Random, tally: Tally, stats: AcceptanceStats) -> None:
    before, definition, after = definition_in(text, random)
    answer = renamed(definition, random)
    bench.complete(Cursor(before, after, answer, other=definition), tally, stats)


SITUATIONS = (next_lines, each_key, lines_of_the_file, copied, rewritten)


def table_of(tallies: Sequence[Tally], seconds: Sequence[float]) -> Table:
    costs = ", ".join(f"{width}: {seconds[width] / seconds[1]:.2f}" for width in (2, 4, 8))
    table = Table(
        box=None, caption=f"a forward pass takes {seconds[1] * 1000:.2f} ms; wider ones, relative: {costs}"
    )
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
        "--places", type=int, default=60, help="cursors for each situation; a tenth as many lines are typed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a folder or a name; the default model where not given")
    parser.add_argument("--fp32", action="store_true", help="matrices not in int8")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    bench, texts, tallies = Bench(options.model, not options.fp32), read_files(), []
    for situation in SITUATIONS:
        # Acceptance rates learnt in one situation must not help in another.
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
