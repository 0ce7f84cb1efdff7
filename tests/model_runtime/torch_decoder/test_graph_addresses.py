"""What CUDA graphs depend on: addresses that stay, and a graph for each cache, width and number of keys.

Caches grow, are rewound and copied into one another; logits are always those of a decoder without graphs.
"""

from __future__ import annotations

import random

import pytest
import torch

from model_runtime.api import Dtype
from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder import DTYPES, Acceleration, Cache, Decoder
from tests.model_runtime.torch_decoder.steps import CODEGEN, CONFIGS, GPT_BIGCODE, plain, random_weights
from tests.model_runtime.torch_decoder.tape import Recorder, address

WIDTHS, KEYS = (1, 2, 4, 8), (256, 512, 640)
"""What graphs are recorded for; 640 tokens are these decoders' whole context."""


class Both:
    """Some caches of a decoder with graphs, and the same ones of a decoder without."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype = torch.float32, caches: int = 3) -> None:
        weights = random_weights(config, dtype=dtype)
        self.weights = {address(weight) for weight in plain(weights).values()}
        self.recorder = Recorder()
        self.recorded = Decoder(config, weights, Acceleration(capture=self.recorder))
        self.eager = Decoder(config, weights, Acceleration())
        self.caches = [(self.recorded.new_cache(), self.eager.new_cache()) for _ in range(caches)]
        self.graphs: set[tuple[int, int, int]] = set()  # a cache, a width and a number of keys

    def step(self, number: int, tokens: list[int]) -> None:
        """Compute tokens in both caches of this number, and look at the graph that did it, if one did."""
        cache, other = self.caches[number]
        start, before = cache.length, len(self.recorder.replayed)
        found, expected = (
            self.recorded.forward(tokens, cache, "all"),
            self.eager.forward(tokens, other, "all"),
        )
        assert (found - expected).norm() < 32 * torch.finfo(found.dtype).eps * expected.norm()
        replayed = self.recorder.replayed[before:]
        rows = next((rows for rows in WIDTHS if rows >= len(tokens)), KEYS[-1])
        if rows <= WIDTHS[-1] and start + rows <= KEYS[-1]:
            self.graphs.add((number, rows, next(keys for keys in KEYS if keys >= start + rows)))
            (tape,) = replayed
            for each, _ in self.caches:
                assert (
                    memory(each) <= tape.touched.keys()
                    if each is cache
                    else not memory(each) & tape.touched.keys()
                )
        else:
            assert not replayed

    def rewind(self, number: int, length: int) -> None:
        for cache in self.caches[number]:
            cache.rewind(length)

    def copy(self, target: int, source: int, length: int) -> None:
        for to, of in zip(self.caches[target], self.caches[source], strict=True):
            to.copy_from(of, length)


def memory(cache: Cache) -> set[int]:
    """Where a cache's keys and values are now."""
    return {address(layer) for layer in cache.layers()}


def some(count: int, of: int = 0) -> list[int]:
    return [(7 * index + of) % 90 for index in range(count)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_whatever_happens_to_caches_a_graph_finds_what_the_step_needs(
    config: DecoderConfig, dtype: Dtype
) -> None:
    both, draw = Both(config, DTYPES[dtype]), random.Random(4)
    for _ in range(40):
        number, kind = draw.randrange(3), draw.randrange(8)
        length = both.caches[number][0].length
        if kind == 0:
            both.rewind(number, draw.randint(0, length))
        elif kind == 1:
            source = draw.randrange(3)
            both.copy(number, source, draw.randint(0, both.caches[source][0].length))
        else:
            count = draw.randint(100, 250) if kind == 2 else draw.randint(1, 9)
            both.rewind(number, min(length, KEYS[-1] - count))
            both.step(number, some(count, length))
    assert len(both.recorder.tapes) == len(both.graphs) > 10, "each graph is recorded once"


@pytest.mark.parametrize("rows", range(1, 9))
def test_a_width_has_a_graph_in_every_bucket_of_keys_and_fits_into_it(rows: int) -> None:
    both = Both(CODEGEN, caches=1)
    padded = next(width for width in WIDTHS if width >= rows)
    for keys in KEYS:
        for start in (
            keys - padded - 1,
            keys - padded,
            keys - rows,
        ):  # the last may not have room to be padded
            length = both.caches[0][0].length
            if length < start:
                both.step(0, some(start - length))
            both.rewind(0, start)
            both.step(0, some(rows, start))
    assert {(0, padded, keys) for keys in KEYS} <= both.graphs
    assert len(both.recorder.tapes) == len(both.graphs)


def test_a_cache_that_is_rewound_or_copied_into_keeps_its_memory_and_its_graphs() -> None:
    both = Both(GPT_BIGCODE, caches=2)
    for number in (0, 1):
        both.step(number, some(40, number))
        both.step(number, [1])
    recorded, places = len(both.recorder.tapes), [memory(cache) for cache, _ in both.caches]
    both.copy(0, 1, 30)
    both.step(0, [2])
    both.rewind(1, 3)
    both.step(1, [3])
    both.copy(1, 0, 31)
    both.step(1, [4])
    assert [memory(cache) for cache, _ in both.caches] == places
    assert len(both.recorder.tapes) == recorded


def test_graphs_share_one_place_for_what_they_are_given_and_one_for_the_logits() -> None:
    both = Both(GPT_BIGCODE, caches=2)
    for number in (0, 1):
        for rows in WIDTHS:
            both.step(number, some(rows))
    caches = set[int]().union(*(memory(cache) for cache, _ in both.caches))
    touched = [tape.touched.keys() - both.weights - caches for tape in both.recorder.tapes]
    assert len(touched) == 8
    assert all(places == touched[0] for places in touched)
    assert len(touched[0]) == 2
