"""Compares fimble with other runtimes in one run: prefill, decoding, and prefill after three more characters.

    python -m benchmarks.peers --llama-server path/to/llama-server    measure, and write a file to results/
    python -m benchmarks.peers --docs                                 write the newest tables to docs/speed.md

All have the same weights and prompts. Each runtime is a process of its own, and all but one are suspended.
Rounds are interleaved, so that changes of the machine's speed affect all runtimes; each measurement is
preceded by a warm-up, and the processor time that other programs use is recorded. Medians are compared.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from importlib import metadata
from math import prod
from pathlib import Path

import psutil

from benchmarks import llama_server
from benchmarks.checkpoint import Formats, prepare, standard_library
from benchmarks.processes import ROOT, LlamaPeer, Peer, RuntimePeer, awake
from benchmarks.results import PAGE, Measured, Results, all_tables, markdown, newest, refreshed
from lsp_server.bench.machine import load, this_machine
from model_runtime.checkpoints.loading import family_and_config, open_checkpoint
from model_runtime.decoding import weight_shapes

Open = Callable[[int], Peer]
"""Starts a peer with a number of threads."""

TYPED = "sel"
"""The three characters that are appended."""

WARMING_TOKENS = 8
AGREEING_TOKENS = 16

PLACES = ("--work", "--results")
"""Options with paths of files to write."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, and the same with three more characters."""

    tokens: list[int]
    typed: list[int]


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = _parser().parse_args()
    if arguments.docs:
        return _refresh()
    threads = [int(count) for count in arguments.threads.split(",")]
    formats = prepare(arguments.work, arguments.model, arguments.seed)
    opens, skipped = _peers(formats, arguments.llama_server)
    for name, why in skipped.items():
        _say(f"{name}: {why}")
    prompts = _prompts(formats.transformers, arguments.prompt_tokens, arguments.rounds)
    machine, began = this_machine(), load()
    agreement = _agreement(formats, arguments.llama_server, prompts[0])
    measured, others = _measure(opens, threads, prompts, arguments.decode_tokens)
    results = Results(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=_commit(),
        command=f"python -m benchmarks.peers {shlex.join(public(sys.argv[1:]))}".strip(),
        machine=asdict(machine),
        versions=_versions(arguments.llama_server),
        model=_described(formats, arguments.seed if arguments.model is None else None),
        protocol={
            "rounds": arguments.rounds,
            "prompt_tokens": arguments.prompt_tokens,
            "decode_tokens": arguments.decode_tokens,
        },
        measured=tuple(measured),
        skipped=skipped,
        agreement=agreement,
        noise={"load_before": began, "load_after": load(), "others_percent": others},
    )
    path = results.write(arguments.results) if arguments.results else results.write()
    _say(f"written to {path}")
    sys.stdout.write(markdown(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--llama-server", type=Path, metavar="PATH", help="llama.cpp's server; without: skipped"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        help="a GPTBigCode folder, or a GGUF file with Q4_1 (default: random weights)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "peers",
        metavar="DIR",
        help="where converted models are kept",
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="where the results are written (default: results/)"
    )
    parser.add_argument("--threads", default="1,2", metavar="N,N", help="thread counts (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--prompt-tokens", type=int, default=512, metavar="N")
    parser.add_argument("--decode-tokens", type=int, default=64, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random weights")
    parser.add_argument("--docs", action="store_true", help="refresh docs/speed.md; measure nothing")
    return parser


def _peers(formats: Formats, server: Path | None) -> tuple[dict[str, Open], dict[str, str]]:
    """The available peers by name, and why others are not available."""
    opens: dict[str, Open] = {}
    skipped = {}
    for bits, model in formats.ours.items():
        opens[f"fimble {bits}"] = partial(RuntimePeer, f"fimble-{bits}", model)
    opens["fimble fp32"] = partial(RuntimePeer, "fimble-fp32", formats.transformers)
    opens["transformers fp32"] = partial(RuntimePeer, "transformers", formats.transformers)
    if formats.ctranslate2 is None:
        skipped["CTranslate2 int8"] = "skipped: not installed, or the model is a GGUF file"
    else:
        opens["CTranslate2 int8"] = partial(RuntimePeer, "ctranslate2", formats.ctranslate2)
    if server is None:
        skipped["llama.cpp"] = "skipped: give --llama-server"
    elif not server.is_file():
        skipped["llama.cpp"] = "skipped: there is no such --llama-server"
    else:
        for kind in ("q8_0", "q4_1"):
            opens[f"llama.cpp {kind.upper()}"] = partial(LlamaPeer, server, formats.ggufs[kind])
    return opens, skipped


def _prompts(model: Path, length: int, rounds: int) -> list[Prompt]:
    """For each round, `length` tokens of the standard library, and those with three more characters."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    prompts: list[Prompt] = []
    for text in standard_library():
        tokens = tokenizer.encode(text, add_special_tokens=False).ids[:length]
        typed = tokenizer.encode(tokenizer.decode(tokens) + TYPED, add_special_tokens=False).ids
        if len(tokens) == length and typed[: length - 1] == tokens[:-1]:
            prompts.append(Prompt(tokens, typed))
        if len(prompts) == rounds + 1:  # one to warm up with
            return prompts
    raise SystemExit(f"the standard library has no {rounds} files of {length} tokens: ask for fewer")


def _measure(
    opens: dict[str, Open], threads: Sequence[int], prompts: Sequence[Prompt], count: int
) -> tuple[list[Measured], float]:
    """All peers at all thread counts, and the percentage of the processor that other programs used."""
    times: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    others = []
    warming, *measuring = prompts
    for many in threads:
        with ExitStack() as stack:
            peers = {}
            for name, start in opens.items():
                _say(f"starting {name}, {many} thread{'s'[: many != 1]}")
                peers[name] = start(many)
                stack.callback(peers[name].close)
                peers[name].process.suspend()
            order = list(peers)
            for number, prompt in enumerate(measuring):
                for name in order[number % len(order) :] + order[: number % len(order)]:
                    others.append(psutil.cpu_percent(interval=0.3))
                    with awake(peers[name]) as peer:
                        peer.generate(warming.tokens, WARMING_TOKENS)
                        _add(times[name, many], peer, prompt, count)
                    _say(f"round {number + 1}, {many}: {name:<20}{_latest(times[name, many])}")
    return [_median(*key, found) for key, found in times.items()], statistics.median(others)


def _add(times: dict[str, list[float]], peer: Peer, prompt: Prompt, count: int) -> None:
    """Measure `peer` once."""
    generated = peer.generate(prompt.tokens, count)
    typed = peer.typed(prompt.tokens, prompt.typed)
    times["prefill_ms"].append(1000 * generated.first)
    times["token_ms"].append(1000 * generated.rest / (count - 1))
    if typed is not None:
        times["typed_ms"].append(1000 * typed)
    if passes := peer.passes(prompt.tokens):
        times["four_rows"].append(passes["four"] / passes["one"])
        times["bandwidth_share"].append(passes["step_bytes"] / passes["one"] / passes["bandwidth"])


def _median(name: str, threads: int, found: dict[str, list[float]]) -> Measured:
    medians = {measure: statistics.median(values) for measure, values in found.items()}
    rounded = {measure: [round(value, 3) for value in values] for measure, values in found.items()}
    return Measured(
        name,
        threads,
        medians["prefill_ms"],
        medians["token_ms"],
        medians.get("typed_ms"),
        medians.get("four_rows"),
        medians.get("bandwidth_share"),
        rounded,
    )


def _latest(found: dict[str, list[float]]) -> str:
    return ", ".join(f"{values[-1]:.1f} {measure.replace('_', ' ')}" for measure, values in found.items())


def _agreement(formats: Formats, server: Path | None, prompt: Prompt) -> dict[str, int]:
    """How many of the first greedy tokens equal transformers', in fp32, where rounding plays no part."""
    opens: dict[str, Open] = {
        "transformers fp32": partial(RuntimePeer, "transformers", formats.transformers),
        "fimble fp32": partial(RuntimePeer, "fimble-fp32", formats.transformers),
    }
    if server is not None and server.is_file():
        opens["llama.cpp F32"] = partial(LlamaPeer, server, formats.ggufs["f32"])
    found: dict[str, list[int]] = {}
    for name, start in opens.items():
        peer = start(1)
        try:
            found[name] = peer.generate(prompt.tokens, AGREEING_TOKENS).tokens
        finally:
            peer.close()
    reference = found.pop("transformers fp32")
    equal = {name: _equal(reference, tokens) for name, tokens in found.items()}
    for name, number in equal.items():
        _say(f"{name}: {number} of {AGREEING_TOKENS} greedy tokens equal transformers'")
    return equal


def _equal(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the common prefix."""
    same = [mine == theirs for mine, theirs in zip(one, other, strict=True)]
    return same.index(False) if False in same else len(same)


def _versions(server: Path | None) -> dict[str, str]:
    found = {}
    for name in ("fimble", "torch", "transformers", "ctranslate2"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if server is not None and server.is_file():
        found["llama.cpp"] = llama_server.version(server)
    return found


def _described(formats: Formats, seed: int | None) -> dict[str, object]:
    """A description of the model for the results."""
    checkpoint = open_checkpoint(formats.transformers)
    family, config = family_and_config(checkpoint)
    shape = f"{family.model_type}, {config.layers} × {config.width}, vocabulary of {config.vocab_size:,}"
    return {
        "name": formats.name,
        "shape": shape,
        "parameters": sum(map(prod, weight_shapes(config).values())),
        "weights": "a checkpoint's" if seed is None else f"random, seed {seed}",
    }


def _commit() -> str:
    """The commit that is measured, with a plus if files have been changed."""
    git = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        commit = git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except OSError:
        return "unknown"
    return f"{commit or 'unknown'}{'+' if changed else ''}"


def public(words: Sequence[str]) -> list[str]:
    """The command line without this machine's paths, for others to repeat."""
    shown: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if word in PLACES or before in PLACES:
            continue
        shown.append(Path(word).name if "/" in word or "\\" in word else word)
    return shown


def _refresh() -> int:
    found = newest()
    if not found:
        _say("there is no result yet: measure first")
        return 2
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(refreshed(page, all_tables(found)), encoding="utf-8")
    _say(f"docs/speed.md shows {', '.join(each.model['name'] for each in found)}")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"peers: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
