"""Do completions end by their deadline, with at least a line, while the user is typing?

    python -m benchmarks.deadline [--budget 150] [--keys 60] [--files 3] [--model FOLDER] [--random]

Files of the standard library are typed key by key, from the middle, with a request of `--budget` milliseconds
for each key and realistic pauses between keys, in which the engine may compute ahead. Requests are warm
except for the first of each file. `--random` uses a GPTBigCode of 41M parameters with random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkpoint import add_model_choice, chosen_model
from model_runtime import Backend, CompletionRequest, ModelOptions, open_backend
from model_runtime.api import Usage

FILES = ("argparse.py", "textwrap.py", "configparser.py", "tarfile.py", "shutil.py", "difflib.py")
KEY_SECONDS = (0.08, 0.25)
"""The shortest and the longest pause between two keys."""

NO_USAGE = Usage(0, 0, 0)


@dataclass(frozen=True)
class Answer:
    """One request: whether it was the first of its file; milliseconds to its first text and its end."""

    cold: bool
    first_ms: float | None
    end_ms: float
    finish: str
    text: str
    usage: Usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=float, default=150.0)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--files", type=int, default=3)
    add_model_choice(parser)
    arguments = parser.parse_args()
    with chosen_model(arguments) as model:
        answers = asyncio.run(_session(model, arguments))
    _report(answers, arguments.budget)


async def _session(model: str | None, arguments: argparse.Namespace) -> list[Answer]:
    chance = random.Random(arguments.seed)
    backend = open_backend(ModelOptions(model=model))
    info = await backend.load()
    print(f"{info.name}, {info.parameters / 1e6:.1f}M parameters, {info.dtype} on {info.device}")
    answers = []
    for path in _files(arguments.files):
        for number, (prefix, suffix) in enumerate(_keys(path, arguments.keys, chance)):
            pressed = time.monotonic()
            request = CompletionRequest(
                prefix=prefix,
                suffix=suffix,
                language="python",
                session=path.name,
                deadline=pressed + arguments.budget / 1000,
            )
            answers.append(await _ask(backend, request, pressed, cold=number == 0))
            await asyncio.sleep(max(0.0, pressed + chance.uniform(*KEY_SECONDS) - time.monotonic()))
    await backend.close()
    return answers


async def _ask(backend: Backend, request: CompletionRequest, pressed: float, *, cold: bool) -> Answer:
    text, first_ms, usage, finish = "", None, NO_USAGE, ""
    async with aclosing(backend.complete(request)) as stream:
        async for chunk in stream:
            text += chunk.text
            if text and first_ms is None:
                first_ms = 1000 * (time.monotonic() - pressed)
            usage, finish = chunk.usage or usage, chunk.finish or finish
    return Answer(cold, first_ms, 1000 * (time.monotonic() - pressed), finish, text, usage)


def _files(count: int) -> Iterator[Path]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return (folder / name for name in FILES[:count])


def _keys(path: Path, count: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    """The text before and after the cursor at each key; half-way, the cursor jumps elsewhere."""
    text = path.read_text(encoding="utf-8")
    for _ in range(2):
        start = chance.randrange(len(text) // 3, 2 * len(text) // 3)
        for typed in range(count // 2):
            yield text[: start + typed], text[start + count :]


def _report(answers: Sequence[Answer], budget: float) -> None:
    for title, chosen in (
        ("warm", [answer for answer in answers if not answer.cold]),
        ("cold", [answer for answer in answers if answer.cold]),
    ):
        ends = sorted(answer.end_ms for answer in chosen)
        within = sum(end <= budget for end in ends) / len(ends)
        line = sum("\n" in answer.text or answer.finish in ("stop", "length") for answer in chosen) / len(
            chosen
        )
        p50, p95, p99 = (ends[min(len(ends) - 1, int(len(ends) * share))] for share in (0.5, 0.95, 0.99))
        firsts = [answer.first_ms for answer in chosen if answer.first_ms is not None]
        first = f"{statistics.median(firsts):.0f} ms" if firsts else "never"
        print(
            f"{title}: {len(ends)} requests, {within:.1%} ended within {budget:.0f} ms; end p50 {p50:.0f}, "
        )
        print(
            f"  p95 {p95:.0f}, p99 {p99:.0f} ms; first text p50 {first} in {len(firsts)}; "
            f"whole line {line:.0%}"
        )
        sizes = Counter(1 << max(0, answer.usage.prompt_tokens - 1).bit_length() for answer in chosen)
        print("  context up to: " + ", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes)))
        new = [answer.usage.prompt_tokens - answer.usage.reused_tokens for answer in chosen]
        tokens = statistics.mean(answer.usage.decoded_tokens for answer in chosen)
        print(f"  to compute p50 {statistics.median(new):.0f} tokens; made {tokens:.1f} tokens on average")
        print("  ended with " + ", ".join(f"{k}: {v}" for k, v in Counter(a.finish for a in chosen).items()))


if __name__ == "__main__":
    main()
