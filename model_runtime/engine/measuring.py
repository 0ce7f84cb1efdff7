"""What this machine does with a model: how fast memory is read, a prompt computed, a token made.

`fimble bench` ▶ the package's door ▶ **measure** ▶ {engine, decoding, threads}. The engine opens the model as
it does for an editor; what is timed are the decoder's passes, with as many threads as suit each, so that
neither stop tokens nor guessed ones blur the figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from model_runtime.api import Bandwidth, ContextSpeed, LoadProgress, ModelOptions, Speed
from model_runtime.decoding import Cache, Decoder
from model_runtime.engine.engine import Engine
from model_runtime.hardware import cores, memory_errors

LOADING_SHARE = 0.3
"""How much of the progress is the model's loading."""

BANDWIDTH_BYTES = 256 * 2**20
"""What is read to measure bandwidth: far more than caches hold."""

PIECE = 512
"""Tokens of a prompt computed at once, as far as it goes."""

LONGEST_CONTEXT = 2048
SLOWEST_PREFILL = 10.0
"""Seconds: where a prompt is expected to take longer, the curve ends."""

NO_LOAD = 1.0
"""Passes take as long as on a quiet machine: what is measured is measured with the threads of that."""


class ThreadedPasses:
    """An engine's passes without the engine: each with as many threads as were found best for its like."""

    def __init__(self, engine: Engine) -> None:
        self.decoder, self.threads = engine.decoder, engine.threads

    def forward(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last") -> Tensor:
        """See `Decoder.forward`."""
        if self.threads is not None:
            self.threads.prepare(len(tokens), NO_LOAD)
        return self.decoder.forward(tokens, cache, logits)


def measure_speed(options: ModelOptions, *, quick: bool, progress: LoadProgress) -> Speed:
    """Open a model, measure it and let it go.

    Raises:
        BackendError: it cannot be opened, or does not fit beside what is measured.
    """
    before = torch.get_num_threads()
    try:
        engine = Engine(options, lambda share, what: progress(LOADING_SHARE * share, what))
        with memory_errors():
            passes, threads = ThreadedPasses(engine), engine.threads
            prefill, decode = (threads.prefill, threads.decode) if threads else (1, 1)
            progress(LOADING_SHARE, "reading memory")
            bandwidth = tuple(_bandwidths(engine.decoder, decode, rounds=3 if quick else 7))
            contexts = []
            for done, of, speed in _curve(passes, quick):
                contexts.append(speed)
                what = f"{speed.tokens} tokens: {speed.prefill_ms:.0f} ms, then {speed.decode_ms:.1f} ms each"
                progress(LOADING_SHARE + (1 - LOADING_SHARE) * done / of, what)
        return Speed(engine.info, prefill, decode, bandwidth, engine.decoder.step_bytes, tuple(contexts))
    finally:
        torch.set_num_threads(before)


def _bandwidths(decoder: Decoder, threads: int, rounds: int) -> Iterator[Bandwidth]:
    """With one thread, all cores, and those that decode; a GPU's one figure; none for several devices."""
    if len(set(decoder.devices)) > 1:
        return
    device = decoder.devices[0]
    if device.type != "cpu":
        yield Bandwidth(None, read_bandwidth(device, rounds))
        return
    for count in sorted({1, cores(), threads}):
        torch.set_num_threads(count)
        yield Bandwidth(count, read_bandwidth(device, rounds))


def read_bandwidth(device: torch.device, rounds: int, size: int = BANDWIDTH_BYTES) -> float:
    """Bytes a second that `device` reads from its memory: the quickest of `rounds` reads, in two ways.

    The quickest, since a limit is what could not be exceeded even once.
    """
    columns = 4096
    matrix = torch.ones(size // 4 // columns, columns, device=device)
    vector = torch.ones(columns, device=device)
    ways = (lambda: matrix.mv(vector)[0].item(), lambda: matrix.sum().item())
    # The first read of each way wakes threads, or finds a kernel.
    return matrix.nbytes / min(_timed(way) for way in ways for _ in range(rounds + 1))


def _curve(passes: ThreadedPasses, quick: bool) -> Iterator[tuple[int, int, ContextSpeed]]:
    """The speed at growing context lengths, each with how many there are before and in all."""
    steps = 16 if quick else 32
    decoder = passes.decoder
    lengths = context_lengths(decoder.config.context_length - steps, quick)
    cache = decoder.new_cache(lengths[-1] + steps)
    _prefill(passes, cache, lengths[0])
    for number, length in enumerate(lengths, 1):
        prefill = statistics.median(_prefills(passes, cache, length, 0.25 if quick else 1.0))
        decode = statistics.median(_steps(passes, cache, steps))
        yield number, len(lengths), ContextSpeed(length, 1000 * prefill, 1000 * decode)
        if number < len(lengths) and prefill * lengths[number] / length > SLOWEST_PREFILL:
            return


def context_lengths(room: int, quick: bool) -> list[int]:
    """Powers of two from 128 on, as far as there is room, and where that ends; two lengths if `quick`."""
    room = max(1, min(room, LONGEST_CONTEXT))
    powers = [length for length in (128, 256, 512, 1024, 2048) if length <= room]
    if quick:
        return [length for length in powers if length in (128, 512)] or [room]
    return powers if powers and room < 1.25 * powers[-1] else [*powers, room]


def _prefills(passes: ThreadedPasses, cache: Cache, length: int, seconds: float) -> list[float]:
    """The times of a prompt, computed three times or, where that is quick, for so many seconds."""
    found: list[float] = []
    while len(found) < 3 or sum(found) < seconds:
        found.append(_timed(lambda: _prefill(passes, cache, length)))
        if sum(found) > SLOWEST_PREFILL:
            break
    return found


def _prefill(passes: ThreadedPasses, cache: Cache, length: int) -> int:
    """Compute a prompt of `length` tokens from nothing; returns the token that follows, when it is there."""
    cache.rewind(0)
    # Which tokens they are makes no difference to the time; they are not all the same, as in a text.
    tokens = [7919 * place % passes.decoder.config.vocab_size for place in range(length)]
    for start in range(0, length, PIECE):
        logits = passes.forward(tokens[start : start + PIECE], cache)
    return int(logits.argmax())


def _steps(passes: ThreadedPasses, cache: Cache, count: int) -> list[float]:
    """The seconds of each of `count` steps of greedy decoding after what `cache` holds."""
    seconds = []
    token = 0
    for _ in range(count):
        begun = time.perf_counter()
        token = int(passes.forward([token], cache).argmax())
        seconds.append(time.perf_counter() - begun)
    return seconds


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
