"""CUDA graphs of the decoder's static step: one launch instead of hundreds.

A graph is recorded when first needed, in tens of milliseconds, for each cache, number of rows and bucket of
the cache's length. It reads token ids and positions from tensors at fixed addresses, and writes the logits to
one.

A graph knows its cache by address. A single working cache, into which others are copied, would need fewer
graphs; but copying takes about a millisecond for CodeGen-16B, and another 1.7 GB. Graphs are small: their
nodes, and one pool of activations that all of them share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from model_runtime.torch_decoder.cache import Cache

log = logging.getLogger(__name__)

ROW_BUCKETS = (1, 2, 4, 8)
"""Numbers of rows that steps are recorded with; fewer tokens are padded."""

MIN_KEYS = 256
"""Keys in the smallest bucket; each following one has twice as many."""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does; returns a function that replays it."""

StaticCompute = Callable[[Tensor, Tensor, Cache, int], Tensor]
"""Token ids and positions, (rows,), a cache and its number of visible keys, to logits, (rows, vocab)."""


class Graphs:
    """The recorded steps of one decoder.

    Args:
        compute: the step, of which only shapes may depend on Python's numbers.
        capture: records it.
        logits: (most rows, vocab), where graphs write their results; on the computing device.
    """

    def __init__(self, compute: StaticCompute, capture: Capture, logits: Tensor) -> None:
        self._compute, self._logits = compute, logits
        self._capture: Capture | None = capture
        self._inputs = torch.zeros(2 * ROW_BUCKETS[-1], dtype=torch.long, device=logits.device)
        self._replays: WeakKeyDictionary[Cache, dict[tuple[int, int], Callable[[], None]]] = (
            WeakKeyDictionary()  # a cache's graphs go with it
        )

    def forward(self, tokens: Sequence[int], cache: Cache) -> Tensor | None:
        """The logits after each of `tokens`, (length, vocab), overwritten by the next step.

        None if the step must be computed eagerly: it has too many tokens or is at the end of the cache, or
        recording has failed.
        """
        rows = next((rows for rows in ROW_BUCKETS if len(tokens) <= rows), None)
        if rows is None or cache.length + rows > cache.capacity:
            return None
        # Padding comes after the tokens: no token sees it, and what it writes to the cache is overwritten.
        positions = range(cache.length, cache.length + rows)
        ids = [*tokens, *[0] * (rows - len(tokens))]
        self._inputs[: 2 * rows].copy_(torch.tensor([*ids, *positions]), non_blocking=True)
        replay = self._replay(cache, rows, _key_bucket(positions.stop, cache.capacity))
        if replay is None:
            return None
        replay()
        return self._logits[: len(tokens)]

    def _replay(self, cache: Cache, rows: int, keys: int) -> Callable[[], None] | None:
        known = self._replays.setdefault(cache, {})
        if (rows, keys) not in known and self._capture is not None:
            ids, positions = self._inputs[: 2 * rows].view(2, rows)

            def run() -> None:
                self._logits[:rows].copy_(self._compute(ids, positions, cache, keys))

            try:
                known[rows, keys] = self._capture(run)
            except RuntimeError as error:  # most likely OutOfMemoryError
                self._capture = None
                reason = str(error).strip().partition("\n")[0]
                log.warning("no more CUDA graphs are recorded, so steps can be slower: %s", reason)
        return known.get((rows, keys))


class CudaCapture:
    """Records CUDA graphs on one device; they share a memory pool, so only one may run at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._first: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        with torch.cuda.device(self._device):
            here = torch.cuda.current_stream()
            self._stream.wait_stream(here)
            # A warm-up without recording: kernels are compiled, libraries allocate their workspaces, and
            # running out of memory does no harm yet.
            with torch.cuda.stream(self._stream):
                run()
            here.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile; what they do is not in the graph.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                run()
        # A pool that no graph uses cannot be used again, so the first graph is kept when its cache is gone.
        self._first = self._first or graph
        replay: Callable[[], None] = graph.replay
        return replay


def _key_bucket(length: int, capacity: int) -> int:
    """The keys of the smallest bucket that holds `length` tokens."""
    keys = MIN_KEYS
    while keys < length:
        keys *= 2
    return min(keys, capacity)
