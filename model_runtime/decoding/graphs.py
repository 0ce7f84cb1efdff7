"""CUDA graphs of whole steps: hundreds of launches become one, and Python is out of the loop.

Between the decoder and its static step. A graph is recorded for each number of rows, each bucket of the
cache's length and each cache, when it is first needed: tens of milliseconds. It finds token ids and positions
in tensors that stay where they are, and leaves the logits in one.

A graph knows its cache by address. One working cache for all, with others copied into it on a switch, would
need fewer graphs; but a copy costs CodeGen-16B about a millisecond, at every switch, and a second place for
1.7 GB, while a recorded graph is small: its nodes, and one pool of activations that all graphs share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from model_runtime.decoding.cache import Cache

log = logging.getLogger(__name__)

WIDTHS = (1, 2, 4, 8)
"""Rows that a step is recorded with; fewer tokens are filled up."""

SHORTEST = 256
"""Tokens of the cache in the smallest bucket; each next one is twice as long."""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does; returns what does it again."""

StaticCompute = Callable[[Tensor, Tensor, Cache, int], Tensor]
"""Token ids and positions, (width,), a cache and how many of its tokens are looked at, to (width, vocab)."""


class Graphs:
    """The recorded steps of one decoder.

    Args:
        compute: the step, in which nothing may depend on Python's numbers but shapes.
        capture: records it.
        logits: (widest, vocab), where graphs leave what they found; on the device that computes.
    """

    def __init__(self, compute: StaticCompute, capture: Capture, logits: Tensor) -> None:
        self._compute, self._logits = compute, logits
        self._capture: Capture | None = capture
        self._inputs = torch.zeros(2 * WIDTHS[-1], dtype=torch.long, device=logits.device)
        self._replays: WeakKeyDictionary[Cache, dict[tuple[int, int], Callable[[], None]]] = (
            WeakKeyDictionary()  # a cache that is gone takes its graphs along
        )

    def forward(self, tokens: Sequence[int], cache: Cache) -> Tensor | None:
        """The logits after each of `tokens`, (length, vocab), overwritten by the next step.

        None where there is no graph for the step, because it has too many tokens, or is at the very end of
        the cache, or nothing can be recorded any more: then it is left to be computed eagerly.
        """
        width = next((width for width in WIDTHS if len(tokens) <= width), None)
        if width is None or cache.length + width > cache.capacity:
            return None
        # Rows that fill up stand behind the others: nobody looks at them, and what they leave in the cache
        # is stale and overwritten by whoever comes to stand there.
        places = range(cache.length, cache.length + width)
        ids = [*tokens, *[0] * (width - len(tokens))]
        self._inputs[: 2 * width].copy_(torch.tensor([*ids, *places]), non_blocking=True)
        replay = self._replay(cache, width, _bucket(places.stop, cache.capacity))
        if replay is None:
            return None
        replay()
        return self._logits[: len(tokens)]

    def _replay(self, cache: Cache, width: int, keys: int) -> Callable[[], None] | None:
        known = self._replays.setdefault(cache, {})
        if (width, keys) not in known and self._capture is not None:
            ids, positions = self._inputs[: 2 * width].view(2, width)

            def run() -> None:
                self._logits[:width].copy_(self._compute(ids, positions, cache, keys))

            try:
                known[width, keys] = self._capture(run)
            except RuntimeError as error:  # out of memory, most likely: it is a RuntimeError too
                self._capture = None
                reason = str(error).strip().partition("\n")[0]
                log.warning("no more CUDA graphs are recorded, so steps can be slower: %s", reason)
        return known.get((width, keys))


class CudaCapture:
    """Records CUDA graphs on one device; all share one pool of memory, and only one runs at a time."""

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
            # Once without recording: kernels are compiled and loaded, libraries make their workspaces, and
            # where memory is short it shows, while that still does no harm.
            with torch.cuda.stream(self._stream):
                run()
            here.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may go on allocating: what they do is not in the graph.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                run()
        # A pool that no graph uses any more cannot be used again: the first one stays when its cache is gone.
        self._first = self._first or graph
        replay: Callable[[], None] = graph.replay
        return replay


def _bucket(length: int, capacity: int) -> int:
    """The least of the bucket lengths that holds `length` tokens."""
    keys = SHORTEST
    while keys < length:
        keys *= 2
    return min(keys, capacity)
