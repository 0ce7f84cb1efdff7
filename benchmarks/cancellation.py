"""How soon is the model free again when a stream is closed?

    python -m benchmarks.cancellation [--closes 100] [--model FOLDER] [--random]

Each completion has a new random prompt of up to 2,000 tokens, and its stream is closed at a random moment
during prefill or the first tokens. Measured is the time from closing the stream until the worker thread is
free again. `--random` uses a GPTBigCode of 41M parameters with random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Generator, Sequence
from contextlib import suppress

from benchmarks.checkpoint import add_model_choice, chosen_model
from model_runtime.api import Chunk, CompletionRequest, LoadProgress, ModelOptions
from model_runtime.backend.local import LocalBackend
from model_runtime.engine.engine import Engine

WORDS = ("value", "for", "in", "return", "self", "name", "(", ")", "=", "\n    ", ".", "index", "if", "None")
FREED_WITHIN = 0.06
"""The target for p99, in seconds."""


class WatchedEngine(Engine):
    """Sets the futures `begun` and `freed` when the worker starts and finishes a completion."""

    begun: asyncio.Future[float]
    freed: asyncio.Future[float]

    def watch(self) -> None:
        """Create new futures, for the next completion."""
        loop = asyncio.get_running_loop()
        self.begun, self.freed = loop.create_future(), loop.create_future()

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        _tell(self.begun)
        try:
            yield from super().complete(request)
        finally:
            _tell(self.freed)


def _tell(moment: asyncio.Future[float]) -> None:
    moment.get_loop().call_soon_threadsafe(moment.set_result, time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--closes", type=int, default=100)
    add_model_choice(parser)
    arguments = parser.parse_args()
    with chosen_model(arguments) as model:
        asyncio.run(_measure(model, arguments.closes, random.Random(arguments.seed)))


async def _measure(model: str | None, closes: int, chance: random.Random) -> None:
    engines: list[WatchedEngine] = []

    def open_engine(options: ModelOptions, progress: LoadProgress) -> WatchedEngine:
        engines.append(WatchedEngine(options, progress))
        return engines[-1]

    backend = LocalBackend(ModelOptions(model=model), open_engine)
    info = await backend.load()
    print(f"{info.name}, {info.parameters / 1e6:.1f}M parameters, {info.dtype} on {info.device}")
    whole = await _seconds(backend, engines[0], _request(chance), None)
    took, kept = [], 0
    for _ in range(closes):
        request, moment = _request(chance), chance.uniform(0, 1.2 * whole)
        took.append(await _seconds(backend, engines[0], request, moment))
        kept += await _reused(backend, engines[0], request)
    _report(took, kept / closes, whole)
    await backend.close()


async def _seconds(
    backend: LocalBackend, engine: WatchedEngine, request: CompletionRequest, moment: float | None
) -> float:
    """From closing the stream `moment` seconds after its start until the worker is free.

    With `moment` None, the time of the whole completion.
    """
    engine.watch()
    reading = asyncio.create_task(_read(backend, request))
    begun = await engine.begun  # a stream that is closed earlier never reaches the model
    if moment is not None:
        await asyncio.wait([reading], timeout=moment)
        begun = time.monotonic()
        reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    return max(0.0, await engine.freed - begun)


async def _reused(backend: LocalBackend, engine: WatchedEngine, request: CompletionRequest) -> int:
    """How many tokens of a prompt are found in the KV cache when it is sent again."""
    engine.watch()
    stream = backend.complete(request)
    first = await anext(stream)
    await stream.aclose()
    await engine.freed
    return first.usage.reused_tokens if first.usage else 0


async def _read(backend: LocalBackend, request: CompletionRequest) -> None:
    async for _ in backend.complete(request):
        pass


def _request(chance: random.Random) -> CompletionRequest:
    return CompletionRequest(prefix=" ".join(chance.choices(WORDS, k=3000)), max_tokens=8)


def _report(took: Sequence[float], kept: float, whole: float) -> None:
    ordered = sorted(1000 * seconds for seconds in took)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95, 0.99))
    print(f"a whole completion: {1000 * whole:.0f} ms; {len(took)} were closed at random moments")
    print(f"free after p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, at most {ordered[-1]:.1f} ms", end=" ")
    print(f"({'kept' if p99 <= 1000 * FREED_WITHIN else 'MISSED'}: {1000 * FREED_WITHIN:.0f} ms at p99)")
    print(f"of an interrupted prompt, {kept:.0f} tokens on average were reused when it was sent again")


if __name__ == "__main__":
    main()
