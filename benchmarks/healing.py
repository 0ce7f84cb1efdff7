"""Does token healing improve completions? Lines of held-out code are cut at plausible cursor positions.

    python benchmarks/healing.py HELDOUT.jsonl [--lines 500] [--seed 0] [--model MODEL] [--json FILE]

HELDOUT.jsonl is written by `python -m recipes.default_model corpus`: files of packages that the default
model was not trained on. The model completes the rest of each line greedily, between the file's real text,
once with healing and once without, in each layout; "psm-typed-line" is PSM with the beginning of the line
after the middle sentinel, "prefix" has no suffix and no sentinels, as for a model without fill-in-the-
middle. A line is right if its rest matches exactly, a word if the rest of the word does. p is the
probability of so uneven a split among the pairs that differ, if both were equally good (sign test, two-
sided).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Literal, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from model_runtime import CompletionRequest  # noqa: E402
from model_runtime.checkpoints import AnyDecoder, load  # noqa: E402
from model_runtime.decoding import Sampler, generate  # noqa: E402
from model_runtime.evaluation import LineTask, draw_line_tasks, find_gaps, read_source_files  # noqa: E402
from model_runtime.models import resolve  # noqa: E402
from model_runtime.prompting.fim import Sentinels, find_sentinels  # noqa: E402
from model_runtime.prompting.healing import Healer  # noqa: E402
from model_runtime.prompting.prompt import lay_out  # noqa: E402
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer  # noqa: E402

Layout = Literal["spm", "psm-typed-line", "psm", "prefix"]

CUTS = {
    "inside a word": r"\w(?=\w)",
    "after a word": r"\w(?=\W)",
    "after a space": r"(?<=\S) (?=\S)",
    "after an opening": r"[(\[{](?=\S)",
    "after another sign": r"[^\w\s(\[{](?=\S)",
    "after indentation": r"^(?=\S)",
}
"""Where a line without its indentation is cut: after a match, unless that is its end."""

WORD = re.compile(r"\w+|[^\w\s]+|\s+")
MAX_TOKENS = 48  # of an answer; a line that needs more is counted as missed
PROMPT_TOKENS = 600


@dataclass
class Outcome:
    """How many of `lines` were right both ways, and how many only with or only without healing."""

    layout: Layout
    cut: str
    lines: int = 0
    rolled_back: int = 0
    both: int = 0
    healed: int = 0
    plain: int = 0
    word_both: int = 0
    word_healed: int = 0
    word_plain: int = 0

    def count(self, answer: str, plain: str, healed: str, rolled_back: str) -> None:
        """Add one line; answers end at the line break."""
        self.lines += 1
        self.rolled_back += bool(rolled_back)
        met, met_healed = plain.rstrip() == answer.rstrip(), healed.rstrip() == answer.rstrip()
        self.both += met and met_healed
        self.healed += met_healed and not met
        self.plain += met and not met_healed
        word, word_plain, word_healed = map(_word, (answer, plain, healed))
        met, met_healed = word_plain == word, word_healed == word
        self.word_both += met and met_healed
        self.word_healed += met_healed and not met
        self.word_plain += met and not met_healed


def _word(text: str) -> str:
    """The start of a text: the rest of a word, punctuation, or whitespace."""
    found = WORD.match(text)
    return found.group() if found else ""


def chance(one: int, other: int) -> float:
    """Probability of a split at least this uneven if both sides are equally likely (sign test, two-sided)."""
    count, few = one + other, min(one, other)
    return min(1.0, sum(math.comb(count, k) for k in range(few + 1)) / 2.0 ** (count - 1))


def tasks_of(whole_lines: Iterable[LineTask], cut: str, count: int, random: Random) -> Iterator[LineTask]:
    """Up to `count` of the lines, each cut at a random place of a kind."""
    for line in whole_lines:
        places = [match.end() for match in re.finditer(CUTS[cut], line.answer)]
        if places and count:
            place = random.choice(places)
            yield LineTask(
                "rest of line", line.prefix + line.answer[:place], line.answer[place:], line.suffix
            )
            count -= 1


@dataclass
class Model:
    """An open model that completes lines."""

    decoder: AnyDecoder
    tokenizer: Tokenizer
    sentinels: Sentinels
    stop: frozenset[int]

    def __post_init__(self) -> None:
        self.healer = Healer(self.tokenizer)
        self.cache = self.decoder.new_cache()

    def write(self, layout: Layout, prefix: str, rolled_back: str, suffix: str) -> str:
        """The rest of the line after `prefix` and the text that healing removed from it."""
        request = CompletionRequest(prefix, suffix, language="python")
        sentinels = None if layout == "prefix" else self.sentinels
        prompts = list(lay_out(request, self.tokenizer, sentinels, PROMPT_TOKENS))
        prompt = next((prompt for prompt in prompts if prompt.layout == layout), prompts[-1])
        text, decoder = "", IncrementalDecoder(self.tokenizer, skip=rolled_back)
        sample = self.healer.sampler(Sampler(), rolled_back)
        for token in generate(
            self.decoder, self.cache, prompt.tokens, sample, stop=self.stop, max_tokens=MAX_TOKENS
        ):
            text += "" if token is None else decoder.feed(token)
            if "\n" in text:
                break
        return text.split("\n")[0]


def open_model(name: str | None) -> Model:
    loaded = load(resolve(name), device="cpu", dtype="fp32")
    tokenizer = Tokenizer(loaded.tokenizer, loaded.tokenizer_settings)
    vocabulary = loaded.decoder.config.vocab_size
    sentinels = find_sentinels(tokenizer, vocabulary)
    if sentinels is None:
        sys.exit("the model has no fill-in-the-middle sentinels: take one that has")
    stop = frozenset(filter(tokenizer.is_control, range(vocabulary)))
    return Model(loaded.decoder, tokenizer, sentinels, stop)


def measure(model: Model, tasks: list[LineTask], layout: Layout, cut: str) -> Outcome:
    outcome = Outcome(layout, cut)
    for task in track(tasks, description=f"{layout}, {cut}", transient=True):
        kept, rolled_back = model.healer.roll_back(task.prefix)
        plain = model.write(layout, task.prefix, "", task.suffix)
        healed = model.write(layout, kept, rolled_back, task.suffix) if rolled_back else plain
        outcome.count(task.answer, plain, healed, rolled_back)
    return outcome


def table_of(outcomes: Sequence[Outcome]) -> Table:
    table = Table("layout", "cut", "lines", "given back", box=None)
    for what in ("words", "lines"):
        for name in (f"{what} plain", "healed", "p"):
            table.add_column(name, justify="right")
    for o in outcomes:
        words = (o.word_both + o.word_plain, o.word_both + o.word_healed)
        lines = (o.both + o.plain, o.both + o.healed)
        table.add_row(
            *(o.layout, o.cut, str(o.lines), f"{o.rolled_back / o.lines:.0%}"),
            *(f"{met / o.lines:.1%}" for met in words),
            f"{chance(o.word_plain, o.word_healed):.3f}",
            *(f"{met / o.lines:.1%}" for met in lines),
            f"{chance(o.plain, o.healed):.3f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--lines", type=int, default=500, help="for each layout and cut")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a folder or a name; the default model where not given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    model, random = open_model(options.model), Random(options.seed)
    gaps = find_gaps([file.text for file in read_source_files(options.heldout)], "whole line")
    whole = draw_line_tasks(gaps, 8 * options.lines, options.seed)
    outcomes = []
    for cut in CUTS:
        tasks = list(tasks_of(whole, cut, options.lines, random))
        outcomes += [measure(model, tasks, layout, cut) for layout in get_args(Layout)]
    Console(width=130).print(table_of(outcomes))
    if options.json:
        options.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
