"""Measures a model on this machine for `fimble bench`: memory bandwidth, prefill and decode speed.

The engine opens the model as for an editor. The decoder's forward passes are timed directly, with the tuned
number of threads, so that neither stop tokens nor drafts affect the figures.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np

from model_runtime.api import Bandwidth, ContextSpeed, LoadProgress, ModelOptions, Speed
from model_runtime.checkpoints import AnyDecoder
from model_runtime.decoding import CachedSequence, Logits, as_logits
from model_runtime.engine.engine import Engine
from model_runtime.hardware import cores, memory_errors

LOADING_SHARE = 0.3
"""Loading the model, as a share of the progress."""

BANDWIDTH_BYTES = 256 * 2**20
"""Bytes read to measure bandwidth: far more than the CPU's caches hold."""

CHUNK_TOKENS = 512
"""Tokens in a prefill chunk."""

MAX_CONTEXT = 2048
MAX_PREFILL_SECONDS = 10.0
"""Contexts whose prefill is expected to take longer are not measured."""

NO_SLOWDOWN = 1.0
"""The slowdown of an idle machine, for which the number of threads is chosen."""


class TunedDecoder:
    """An engine's decoder, with the tuned number of threads for each forward pass."""

    def __init__(self, engine: Engine) -> None:
        self.decoder, self.threads = engine.decoder, engine.threads

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Logits:
        """See `NativeDecoder.forward`; returns once the logits are computed."""
        if self.threads is not None:
            self.threads.prepare(len(tokens), NO_SLOWDOWN)
        return as_logits(self.decoder.forward(tokens, cache, logits))


def measure_speed(options: ModelOptions, *, quick: bool, progress: LoadProgress) -> Speed:
    """Open a model, measure it and close it.

    Args:
        options: the model, the device and the precision.
        quick: fewer context lengths and repetitions.
        progress: called with the share that is done and what was measured last.

    Raises:
        BackendError: the model cannot be opened, or there is not enough memory to measure it.
    """
    with _threads_restored():
        engine = Engine(options, lambda share, what: progress(LOADING_SHARE * share, what))
        with memory_errors():
            decoder, threads = TunedDecoder(engine), engine.threads
            prefill, decode = (threads.prefill, threads.decode) if threads else (1, 1)
            progress(LOADING_SHARE, "reading memory")
            bandwidth = tuple(_bandwidths(engine.decoder, decode, rounds=3 if quick else 7))
            contexts = []
            for done, total, speed in _context_speeds(decoder, quick):
                contexts.append(speed)
                what = f"{speed.tokens} tokens: {speed.prefill_ms:.0f} ms, then {speed.decode_ms:.1f} ms each"
                progress(LOADING_SHARE + (1 - LOADING_SHARE) * done / total, what)
        return Speed(engine.info, prefill, decode, bandwidth, engine.decoder.step_bytes, tuple(contexts))


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Keep torch's number of threads for the caller, who imported it if it matters to them."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


def _bandwidths(decoder: AnyDecoder, threads: int, rounds: int) -> Iterator[Bandwidth]:
    """With one thread, all cores and the decode threads; one figure for a GPU, none for several devices."""
    device, *others = {str(device) for device in decoder.devices}
    if others:
        return
    if device != "cpu":
        yield Bandwidth(None, read_bandwidth(device, rounds))
        return
    for count in sorted({1, cores(), threads}):
        yield Bandwidth(count, read_bandwidth(device, rounds, count))


def read_bandwidth(device: str, rounds: int, threads: int = 1, size: int = BANDWIDTH_BYTES) -> float:
    """Bytes per second that `device` reads from its memory, a CPU with so many threads.

    The fastest of `rounds` reads, because it stands for an upper limit.
    """
    if device != "cpu":
        return max(_gpu_reads(device, rounds, size))
    # The largest of integers is found with vector instructions, and without the GIL.
    parts = np.array_split(np.ones(size // 4, np.int32), threads)
    with ThreadPoolExecutor(threads) as executor:
        # The first read is slow: it starts threads.
        return size / min(_timed(lambda: list(executor.map(np.max, parts))) for _ in range(rounds + 1))


def _gpu_reads(device: str, rounds: int, size: int) -> Iterator[float]:
    """Bytes per second of two kinds of reads; the first of each kind is slow, since it selects a kernel."""
    import torch

    columns = 4096
    matrix = torch.ones(size // 4 // columns, columns, device=device)
    vector = torch.ones(columns, device=device)
    for read in (lambda: matrix.mv(vector)[0].item(), lambda: matrix.sum().item()):
        for _ in range(rounds + 1):
            yield matrix.nbytes / _timed(read)


def _context_speeds(decoder: TunedDecoder, quick: bool) -> Iterator[tuple[int, int, ContextSpeed]]:
    """(number done, total number, speed) at growing context lengths."""
    steps = 16 if quick else 32
    lengths = context_lengths(decoder.decoder.config.context_length - steps, quick)
    cache = decoder.decoder.new_cache(lengths[-1] + steps)
    _prefill(decoder, cache, lengths[0])
    for number, length in enumerate(lengths, 1):
        prefill = statistics.median(_prefill_times(decoder, cache, length, 0.25 if quick else 1.0))
        decode = statistics.median(_decode_times(decoder, cache, steps))
        yield number, len(lengths), ContextSpeed(length, 1000 * prefill, 1000 * decode)
        if number < len(lengths) and prefill * lengths[number] / length > MAX_PREFILL_SECONDS:
            return


def context_lengths(room: int, quick: bool) -> list[int]:
    """Context lengths to measure in `room` tokens: powers of two from 128 on, and `room`; two if `quick`."""
    room = max(1, min(room, MAX_CONTEXT))
    powers = [length for length in (128, 256, 512, 1024, 2048) if length <= room]
    if quick:
        return [length for length in powers if length in (128, 512)] or [room]
    return powers if powers and room < 1.25 * powers[-1] else [*powers, room]


def _prefill_times(decoder: TunedDecoder, cache: CachedSequence, length: int, seconds: float) -> list[float]:
    """The seconds of each prefill: at least three, repeated for `seconds` where that allows more."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(_timed(lambda: _prefill(decoder, cache, length)))
        if sum(times) > MAX_PREFILL_SECONDS:
            break
    return times


def _prefill(decoder: TunedDecoder, cache: CachedSequence, length: int) -> int:
    """Prefill a prompt of `length` tokens from an empty cache; returns the token that follows."""
    cache.rewind(0)
    # The tokens do not affect the time; they vary as in a text.
    tokens = [7919 * index % decoder.decoder.config.vocab_size for index in range(length)]
    for start in range(0, length, CHUNK_TOKENS):
        logits = decoder.forward(tokens[start : start + CHUNK_TOKENS], cache)
    return int(logits.argmax())


def _decode_times(decoder: TunedDecoder, cache: CachedSequence, count: int) -> list[float]:
    """The seconds of each of `count` steps of greedy decoding after the tokens in `cache`."""
    times = []
    token = 0
    for _ in range(count):
        begun = time.perf_counter()
        token = int(decoder.forward([token], cache).argmax())
        times.append(time.perf_counter() - begun)
    return times


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
