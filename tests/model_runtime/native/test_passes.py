"""Passes of the native decoder: any threads, any chunks and any past of a cache give the same bits."""

from __future__ import annotations

import ctypes
import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.api import OutOfMemory
from model_runtime.decoding import Logits, Rotary
from model_runtime.native import NativeCache, NativeDecoder
from model_runtime.native.library import library
from tests.model_runtime.native.decoders import all_logits, open_small, some_tokens
from tests.model_runtime.native.support import KERNELS, needs_native, without_sanitizers

pytestmark = needs_native

TASKS = Path("/proc/self/task")


def copy_of(cache: NativeCache) -> list[bytes]:
    return [block.tobytes() for block in cache._blocks]


@pytest.fixture(scope="module", params=KERNELS)
def decoder(request: pytest.FixtureRequest) -> NativeDecoder:
    return open_small(threads=2, kernels=request.param, heads=6, kv_heads=2)


@pytest.fixture(scope="module")
def tokens(decoder: NativeDecoder) -> list[int]:
    return some_tokens(decoder.config, decoder.config.context_length)


@pytest.fixture(scope="module")
def one_by_one(decoder: NativeDecoder, tokens: list[int]) -> Logits:
    return all_logits(decoder, tokens, [1])


@settings(max_examples=15)
@given(widths=st.lists(st.integers(1, 150), min_size=1, max_size=6), threads=st.integers(1, 4))
def test_logits_do_not_depend_on_chunks_or_threads(
    decoder: NativeDecoder,
    tokens: list[int],
    one_by_one: Logits,
    widths: list[int],
    threads: int,
) -> None:
    decoder.set_threads(threads)
    assert np.array_equal(all_logits(decoder, tokens, widths), one_by_one)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_last_logits_are_the_last_of_all(
    decoder: NativeDecoder, tokens: list[int], one_by_one: Logits, threads: int
) -> None:
    decoder.set_threads(threads)
    for length in (1, 2, 5, 128, 129, 300):
        found = decoder.forward(tokens[:length], decoder.new_cache())
        assert np.array_equal(found, one_by_one[length - 1])


def test_the_number_of_threads_may_change_between_passes(
    decoder: NativeDecoder, tokens: list[int], one_by_one: Logits
) -> None:
    cache = decoder.new_cache()
    for index, token in enumerate(tokens[:120]):
        decoder.set_threads((1, 3, 2, 5, 1, 4, 0, -1)[index % 8])
        assert np.array_equal(decoder.forward([token], cache), one_by_one[index])


@settings(max_examples=15)
@given(steps=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 80)), min_size=1, max_size=6))
def test_what_was_rewound_leaves_no_trace(
    decoder: NativeDecoder, tokens: list[int], one_by_one: Logits, steps: list[tuple[int, int]]
) -> None:
    cache, others = decoder.new_cache(), some_tokens(decoder.config, 300, seed=9)
    for kept, width in steps:
        kept = min(kept, cache.length)
        cache.rewind(kept)
        found = decoder.forward(tokens[kept : kept + width], cache, "all")
        assert np.array_equal(found, one_by_one[kept : kept + width])
        decoder.forward(others[:40], cache)
        cache.rewind(kept + width)


@settings(max_examples=15)
@given(length=st.integers(0, 200), before=st.integers(0, 200))
def test_a_copy_goes_on_like_its_original_and_apart_from_it(
    decoder: NativeDecoder, tokens: list[int], one_by_one: Logits, length: int, before: int
) -> None:
    original, copy = decoder.new_cache(), decoder.new_cache(260)
    decoder.forward(tokens[:200], original)
    if before:
        decoder.forward(some_tokens(decoder.config, before, seed=5), copy)
    copy.copy_from(original, length)
    assert copy.tokens == tuple(tokens[:length])
    decoder.forward(some_tokens(decoder.config, 50, seed=6), copy)
    found = decoder.forward(tokens[200:230], original, "all")
    assert np.array_equal(found, one_by_one[200:230])
    copy.rewind(length)
    found = decoder.forward(tokens[length : length + 30], copy, "all")
    assert np.array_equal(found, one_by_one[length : length + 30])


@pytest.mark.parametrize("capacity", [1, 63, 64, 65, 128, 150, 320])
def test_a_cache_can_be_filled_to_its_capacity_and_no_further(
    decoder: NativeDecoder, tokens: list[int], one_by_one: Logits, capacity: int
) -> None:
    cache = decoder.new_cache(capacity)
    if capacity > 1:
        decoder.forward(tokens[: capacity - 1], cache)
    last = decoder.forward(tokens[capacity - 1 : capacity], cache)
    assert np.array_equal(last, one_by_one[capacity - 1])
    with pytest.raises(AssertionError, match="do not fit"):
        decoder.forward([1], cache)
    assert cache.length == capacity
    assert cache.block_count == -(-capacity // 64)


@pytest.mark.parametrize("wrong", [[-1], [5, 100], [3, 2**31 - 1, 4], [-(2**31)], []])
def test_a_pass_with_numbers_out_of_range_raises_and_writes_nothing(
    decoder: NativeDecoder, tokens: list[int], wrong: list[int]
) -> None:
    cache = decoder.new_cache()
    decoder.forward(tokens[:70], cache)
    before = copy_of(cache)
    with pytest.raises(AssertionError, match="out of range"):
        decoder.forward(wrong, cache)
    assert copy_of(cache) == before
    assert cache.tokens == tuple(tokens[:70])


@pytest.mark.parametrize(
    ("start", "count", "block_count"),
    [(-1, 2, 2), (0, 65, 1), (64, 1, 1), (319, 2, 9), (2**31 - 1, 1, 9), (0, 0, 2), (0, -1, 2)],
)
def test_the_library_refuses_positions_that_there_are_not(
    decoder: NativeDecoder, start: int, count: int, block_count: int
) -> None:
    cache = decoder.new_cache()
    blocks, logits = cache.blocks_for(128), np.zeros(100, np.float32)
    before, ids = copy_of(cache), (ctypes.c_int32 * 128)()
    status = library().fimble_forward(
        decoder._handle, ids, count, start, blocks, block_count, 0, logits.ctypes.data
    )
    assert status == -1
    assert not logits.any()
    assert copy_of(cache) == before


def test_decoders_in_several_threads_of_python_give_what_each_gives_alone() -> None:
    decoders = [open_small(threads=2, seed=seed, width=40 + 8 * seed) for seed in range(3)]
    tokens = some_tokens(decoders[0].config, 150)
    alone = [all_logits(decoder, tokens) for decoder in decoders]

    def often(decoder: NativeDecoder) -> list[Logits]:
        return [all_logits(decoder, tokens, [width]) for width in (150, 7, 64, 1)]

    with ThreadPoolExecutor(len(decoders)) as pool:
        for expected, found in zip(alone, pool.map(often, decoders), strict=True):
            assert all(np.array_equal(logits, expected) for logits in found)


@pytest.mark.skipif(not TASKS.is_dir(), reason="only Linux lists a process's threads")
def test_threads_end_with_their_decoder() -> None:
    all_logits(open_small(threads=2), [1, 2, 3])
    gc.collect()
    before = len(list(TASKS.iterdir()))
    for seed in range(30):
        decoder = open_small(threads=1 + seed % 4, seed=seed)
        if seed % 3:
            decoder.forward([1, 2, 3], decoder.new_cache())
        decoder.set_threads(1 + seed % 3)
        del decoder
    assert len(list(TASKS.iterdir())) == before


@without_sanitizers
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told to run out of memory")
def test_a_pass_without_memory_leaves_everything_as_it_was() -> None:
    import resource

    decoder = open_small(width=8, layers=1, heads=1, kv_heads=1, rotary=Rotary(12, 1e4), mlp_width=150_000)
    tokens = some_tokens(decoder.config, 100)
    cache = decoder.new_cache()
    first = decoder.forward(tokens[:2], cache)
    before, limits = copy_of(cache), resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), limits[1]))
        for _ in range(2):
            with pytest.raises(OutOfMemory):
                decoder.forward(tokens[2:], cache)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert copy_of(cache) == before
    assert cache.length == 2
    again = open_small(width=8, layers=1, heads=1, kv_heads=1, rotary=Rotary(12, 1e4), mlp_width=150_000)
    assert np.array_equal(decoder.forward(tokens[2:], cache), again.forward(tokens, again.new_cache()))
    assert np.array_equal(first, again.forward(tokens[:2], again.new_cache()))
