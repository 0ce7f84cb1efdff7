"""The results of `peers` as JSON files, and as the table in docs/speed.md.

docs/speed.md has the table of each model's newest file between two markers; a test fails if it is outdated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"


@dataclass(frozen=True)
class Measured:
    """A runtime with a number of threads: medians over rounds, in milliseconds.

    `prefill_ms` is a prompt with the first token, `token_ms` each further one, `typed_ms` the first token
    after three more characters, reusing the KV cache; None if the runtime keeps none. `four_rows` is the time
    of a pass of 4 rows relative to one of a single row, `bandwidth_share` how much of the memory bandwidth
    that one uses; None for other runtimes than ours. `rounds` has all rounds.
    """

    name: str
    threads: int
    prefill_ms: float
    token_ms: float
    typed_ms: float | None
    four_rows: float | None
    bandwidth_share: float | None
    rounds: Mapping[str, list[float]]


@dataclass(frozen=True)
class Target:
    """A target: one of ours is to be `times` as fast as a peer in one of the measures."""

    measure: str  # a field of Measured
    ours: str
    peer: str
    times: float


NOISY_PERCENT = 10
"""Processor use of other programs above which results are unreliable."""

TARGETS = (
    Target("prefill_ms", "fimble int8", "llama.cpp Q8_0", 2.0),
    Target("prefill_ms", "fimble int4", "llama.cpp Q4_1", 2.0),
    Target("token_ms", "fimble int8", "llama.cpp Q8_0", 1.11),
    Target("token_ms", "fimble int4", "llama.cpp Q4_1", 1.11),
    Target("prefill_ms", "fimble int8", "CTranslate2 int8", 1.0),
    Target("token_ms", "fimble int8", "CTranslate2 int8", 1.6),
)
MAX_FOUR_ROWS, MIN_BANDWIDTH_SHARE = 1.4, 0.6
"""Targets for `Measured.four_rows` and `bandwidth_share`."""

OURS = ("fimble int8", "fimble int4", "fimble fp32")
"""Peers are compared with the first of these that was measured."""

_WORDS = {"prefill_ms": "prefill", "token_ms": "a token", "typed_ms": "3 characters"}


@dataclass(frozen=True)
class Results:
    """The results of a run, with its conditions."""

    date: str
    commit: str
    command: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    measured: tuple[Measured, ...]
    skipped: Mapping[str, str]
    agreement: Mapping[str, int]
    noise: Mapping[str, Any]

    def write(self, folder: Path = FOLDER) -> Path:
        """Write a file into `folder`, named after date and commit; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = self.date.replace(":", "").replace("-", "")[:15]
        path = folder / f"peers-{stamp}-{self.commit.replace(' ', '-').replace('+', '')}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file that `write` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**found, "measured": tuple(Measured(**each) for each in found["measured"])})


def newest(folder: Path = FOLDER) -> list[Results]:
    """The latest run of each model, the smallest model first."""
    paths = sorted(folder.glob("peers-*.json"), key=lambda path: path.name)  # which begins with the date
    latest = {results.model["name"]: results for results in map(Results.read, paths)}
    return sorted(latest.values(), key=lambda results: int(results.model["parameters"]))


def markdown(results: Results) -> str:
    """The tables, and the conditions of the measurement."""
    return "\n".join(_markdown(results)) + "\n"


def all_tables(found: Iterable[Results]) -> str:
    """The tables of several models, each with a heading."""
    return "\n".join(f"### {results.model['name']}\n{markdown(results)}" for results in found)


def refreshed(page: str, table: str) -> str:
    """`page` with `table` between its markers.

    Raises:
        ValueError: it has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} … {END}: put both where the table belongs")
    return f"{before}{begin}\n{table}{end}{after}"


def speedups(results: Results, target: Target) -> Iterator[tuple[int, float]]:
    """By number of threads: how many times as fast as the target's peer we are."""
    for threads in _threads(results):
        mine = _value(results, target.ours, threads, target.measure)
        theirs = _value(results, target.peer, threads, target.measure)
        if mine is not None and theirs is not None:
            yield threads, theirs / mine


def _markdown(results: Results) -> Iterator[str]:
    threads = _threads(results)
    words = " / ".join(str(count) for count in threads) + f" thread{'s'[: threads != [1]]}"
    prefill = f"prefill {results.protocol['prompt_tokens']}, ms"
    yield f"| {words} | {prefill} | × ours | a token, ms | × ours | 3 characters more, ms |"
    yield "|---|---|---|---|---|---|"
    for name in dict.fromkeys(each.name for each in results.measured):
        cells = [_cell(results, name, measure) for measure in ("prefill_ms", "token_ms")]
        ratios = [_ratio(results, name, measure) for measure in ("prefill_ms", "token_ms")]
        shown = f"**{name}**" if name == _ours(results) else name
        typed = _cell(results, name, "typed_ms")
        yield f"| {shown} | {cells[0]} | {ratios[0]} | {cells[1]} | {ratios[1]} | {typed} |"
    for name, why in results.skipped.items():
        yield f"| {name} | {why} | | | | |"
    yield ""
    yield "| target | " + " | ".join(f"{count} thread{'s'[: count != 1]}" for count in threads) + " |"
    yield "|---|" + "---|" * len(threads)
    for target in TARGETS:
        found = dict(speedups(results, target))
        if found:
            cells = [_verdict(found.get(count), target) for count in threads]
            what = f"{target.ours}: {_WORDS[target.measure]} ≥ {target.times:g}× {target.peer}"
            yield f"| {what} | {' | '.join(cells)} |"
    for name in OURS:
        rows = [_value(results, name, count, "four_rows") for count in threads]
        shares = [_value(results, name, count, "bandwidth_share") for count in threads]
        if any(rows):
            cells = ["–" if rate is None else _worded(f"{rate:.2f}×", rate <= MAX_FOUR_ROWS) for rate in rows]
            yield f"| {name}: 4 rows ≤ {MAX_FOUR_ROWS:g}× the time of 1 | {' | '.join(cells)} |"
        if any(shares):
            cells = [
                "–" if share is None else _worded(f"{share:.0%}", share >= MIN_BANDWIDTH_SHARE)
                for share in shares
            ]
            yield f"| {name}: ≥ {MIN_BANDWIDTH_SHARE:.0%} of the memory bandwidth | {' | '.join(cells)} |"
    yield ""
    yield from _conditions(results)


def _conditions(results: Results) -> Iterator[str]:
    machine, model, protocol = results.machine, results.model, results.protocol
    yield (
        f"{model['parameters'] / 1e6:.0f}M parameters ({model['shape']}), greedy, "
        f"{protocol['decode_tokens']} tokens, medians of {protocol['rounds']} interleaved rounds. "
        "A dash: it keeps nothing between prompts."
    )
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    share = results.noise["others_percent"]
    others = f"others used {share:.0f} % of the processor meanwhile"
    if share > NOISY_PERCENT:
        others += " (**noisy: measure again when nothing else runs**)"
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {', '.join(machine['instructions'])}; "
        f"{machine['system']}; {versions}; commit {results.commit}, {results.date[:10]}; {others}. "
        f"`{results.command}`"
    )


def _verdict(times: float | None, target: Target) -> str:
    if times is None:
        return "–"
    return _worded(f"{times:.2f}×", times >= target.times)


def _worded(figure: str, hit: bool) -> str:
    return f"{figure} {'hit' if hit else 'missed'}"


def _cell(results: Results, name: str, measure: str) -> str:
    values = [_value(results, name, threads, measure) for threads in _threads(results)]
    return " / ".join(_number(value) for value in values) if any(values) else "–"


def _ratio(results: Results, name: str, measure: str) -> str:
    """The time relative to ours."""
    found = []
    for threads in _threads(results):
        theirs = _value(results, name, threads, measure)
        mine = _value(results, _ours(results), threads, measure)
        found.append("–" if theirs is None or mine is None else f"{theirs / mine:.2f}")
    return " / ".join(found)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _ours(results: Results) -> str:
    names = {each.name for each in results.measured}
    return next((name for name in OURS if name in names), "")


def _threads(results: Results) -> list[int]:
    return sorted({each.threads for each in results.measured})


def _value(results: Results, name: str, threads: int, measure: str) -> float | None:
    for each in results.measured:
        if (each.name, each.threads) == (name, threads):
            value: float | None = getattr(each, measure)
            return value
    return None
