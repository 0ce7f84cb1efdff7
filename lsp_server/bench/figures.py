"""The results of `fimble bench`, as a JSON record and as a table. `plot` draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lsp_server.bench.machine import Machine
from lsp_server.bench.typist import Quantiles, TypedKey, TypingSummary, summarize, waits
from model_runtime.api import ContextSpeed, Speed, Usage


@dataclass(frozen=True)
class BenchFigures:
    """A machine, a model's speed on it, and a simulated typing session with its completions."""

    version: str
    machine: Machine
    speed: Speed
    file: str
    seed: int
    keys: tuple[TypedKey, ...]
    usage: Usage

    @property
    def waits(self) -> list[float]:
        """Milliseconds from each key to ghost text."""
        return waits(self.keys)

    @property
    def typing(self) -> TypingSummary:
        """Summary of the typing session."""
        return summarize(self.keys, self.usage)

    @property
    def context(self) -> ContextSpeed:
        """The speed at the longest measured context up to 512 tokens."""
        shortest, *longer = self.speed.contexts
        return [shortest, *(each for each in longer if each.tokens <= 512)][-1]

    def record(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        speed = self.speed
        return {
            "fimble": self.version,
            "machine": asdict(self.machine),
            "model": asdict(speed.model),
            "prefill_threads": speed.prefill_threads,
            "decode_threads": speed.decode_threads,
            "bandwidth": [asdict(found) for found in speed.bandwidth],
            "step_bytes": speed.step_bytes,
            "limit_ms": speed.limit_ms,
            "contexts": [
                {
                    **asdict(context),
                    "prefill_tokens_per_second": context.prefill_tokens_per_second,
                    "share_of_limit": speed.share_of_limit(context),
                }
                for context in speed.contexts
            ],
            "typing": {
                "file": self.file,
                "seed": self.seed,
                **asdict(self.typing),
                "waits_ms": [round(wait, 2) for wait in self.waits],
            },
        }

    def table(self) -> Iterator[str]:
        """The lines of the table."""
        model = self.speed.model
        parameters = f"{model.parameters / 1e6:,.1f}M parameters"
        yield f"{model.name} ({model.family}, {parameters}) on {model.device} in {model.dtype}"
        yield f"{self.machine}, fimble {self.version}"
        if self.machine.load is not None and self.machine.load > 0.5:
            yield f"The machine was busy (load {self.machine.load:.1f}): an idle one gives better figures."
        yield ""
        yield from self._speed()
        yield ""
        yield from self._curve()
        yield ""
        yield from self._typing()

    def _speed(self) -> Iterator[str]:
        speed, context = self.speed, self.context
        for found in speed.bandwidth:
            where = "device memory" if found.threads is None else _count(found.threads, "thread")
            yield _row("memory", f"read bandwidth, {where}", f"{found.bytes_per_second / 1e9:.1f} GB/s")
        rate = f"{context.prefill_tokens_per_second:,.0f} tokens/s{self._with(speed.prefill_threads)}"
        yield _row("prefill", _count(context.tokens, "token"), f"{context.prefill_ms:.1f} ms", rate)
        rate = f"{1000 / context.decode_ms:,.0f} tokens/s{self._with(speed.decode_threads)}"
        yield _row("decode", f"a token after {context.tokens} (p50)", f"{context.decode_ms:.2f} ms", rate)
        share, limit = speed.share_of_limit(context), speed.limit_ms
        if share is not None and limit is not None:
            bandwidth = speed.step_bytes / limit / 1e6
            how = f"{speed.step_bytes / 1e6:,.1f} MB of weights ÷ {bandwidth:.1f} GB/s = {limit:.2f} ms"
            yield _row("", "share of the bandwidth limit", f"{share:.0%}", how)
            if share > 1:
                yield _row("", "", "", "above 100 %: the weights stay in the processor's cache")

    def _with(self, threads: int) -> str:
        return f", {_count(threads, 'thread')}" if self.speed.model.device == "cpu" else ""

    def _curve(self) -> Iterator[str]:
        yield f"{'context':>9}{'prefill ms':>13}{'tokens/s':>11}{'decode ms':>12}{'of the limit':>15}"
        for context in self.speed.contexts:
            share = self.speed.share_of_limit(context)
            yield (
                f"{context.tokens:>9,}{context.prefill_ms:>13.1f}{context.prefill_tokens_per_second:>11,.0f}"
                f"{context.decode_ms:>12.2f}{'–' if share is None else f'{share:.0%}':>15}"
            )

    def _typing(self) -> Iterator[str]:
        typing = self.typing
        yield _row("typing", self.file, _count(typing.keys, "keystroke"), f"seed {self.seed}")
        for name, times in (("text", typing.first_text_ms), ("a whole line", typing.first_line_ms)):
            yield _row("", f"from a key to {name}", *_quantiles(times))
        if typing.prefilled_mean is not None:
            yield _row("", "prefilled tokens a keystroke", f"mean {typing.prefilled_mean:.1f}")
            yield _row("", "decoded tokens a keystroke", f"mean {typing.decoded_mean:.1f}")
            yield _row("", "of the prompts, in the cache", f"{typing.reused_share:.1%}")
        yield _row("", "overtaken by the next key", f"{typing.overtaken_share:.1%}")
        yield _row("", "written by accepting", f"{typing.accepted_share:.1%}", _count(typing.accepts, "time"))


def _row(subject: str, what: str, value: str = "", more: str = "") -> str:
    return f"{subject:<9}{what:<33}{value:<15}{more}".rstrip()


def _quantiles(times: Quantiles | None) -> tuple[str, str]:
    if times is None:
        return "–", "no text was shown"
    return f"p50 {times.p50:.1f} ms", f"p95 {times.p95:.1f} ms"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s'[: number != 1]}"
