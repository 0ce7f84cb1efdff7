"""The memory of native KV caches: one budget for all of them, and blocks that come back."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from model_runtime.api import OutOfMemory
from model_runtime.native import BlockPool, NativeCache, NativeDecoder
from model_runtime.native.library import BLOCK_TOKENS
from tests.model_runtime.native.decoders import all_logits, open_small, some_tokens
from tests.model_runtime.native.support import needs_native

BYTES = 4096


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(BYTES, 3 * BYTES + 100)


def test_a_pool_has_the_blocks_that_its_budget_pays_for(pool: BlockPool) -> None:
    assert (pool.limit, pool.tokens) == (3, 3 * BLOCK_TOKENS)
    blocks = [pool.take() for _ in range(3)]
    assert all(block.nbytes == BYTES and block.ctypes.data % 64 == 0 for block in blocks)
    with pytest.raises(OutOfMemory, match="memoryMb"):
        pool.take()
    assert pool.used == 3
    pool.give_back(blocks.pop())
    pool.take()


def test_blocks_that_came_back_are_used_again(pool: BlockPool) -> None:
    block = pool.take()
    pool.give_back(block)
    assert pool.used == 0
    assert pool.take() is block


def test_a_pool_always_has_one_block() -> None:
    pool = BlockPool(BYTES, 0)
    assert pool.tokens == BLOCK_TOKENS
    pool.take()


def test_a_smaller_budget_takes_nothing_away_but_gives_nothing_more(pool: BlockPool) -> None:
    blocks = [pool.take(), pool.take()]
    pool.set_budget(BYTES)
    with pytest.raises(OutOfMemory):
        pool.take()
    pool.give_back(blocks.pop())
    with pytest.raises(OutOfMemory):
        pool.take()
    pool.set_budget(2 * BYTES)
    pool.take()


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (64, 1), (65, 2), (640, 10)])
def test_the_bytes_of_a_sequence_are_those_of_whole_blocks(pool: BlockPool, tokens: int, blocks: int) -> None:
    assert pool.bytes_for(tokens) == blocks * BYTES


def test_a_cache_takes_blocks_as_it_grows_and_gives_them_back(pool: BlockPool) -> None:
    cache = NativeCache(pool, 150)
    assert pool.used == 0
    for length, used in ((1, 1), (64, 1), (65, 2), (150, 3)):
        addresses = cache.blocks_for(length)
        cache.extend([7] * (length - cache.length))
        assert pool.used == cache.block_count == used
        assert all(addresses[: cache.block_count])
    for length, used in ((129, 3), (128, 2), (1, 1), (0, 0)):
        cache.rewind(length)
        assert pool.used == cache.block_count == used


def test_a_cache_that_is_dropped_gives_its_blocks_back(pool: BlockPool) -> None:
    cache = NativeCache(pool, 150)
    cache.blocks_for(150)
    assert pool.used == 3
    del cache
    gc.collect()
    assert pool.used == 0


def test_a_cache_without_room_for_all_takes_nothing(pool: BlockPool) -> None:
    first, second = NativeCache(pool, 320), NativeCache(pool, 320)
    first.blocks_for(70)
    second.blocks_for(10)
    second.extend([1] * 10)
    pool.set_budget(4 * BYTES)
    with pytest.raises(OutOfMemory):
        second.blocks_for(300)
    assert (second.block_count, second.tokens, pool.used) == (1, (1,) * 10, 3)
    first.blocks_for(130)


@pytest.fixture
def decoder() -> NativeDecoder:
    return open_small()


@needs_native
def test_a_pass_without_room_leaves_the_cache_as_it_was(decoder: NativeDecoder) -> None:
    tokens = some_tokens(decoder.config, 250)
    expected = all_logits(decoder, tokens)
    decoder.pool.set_budget(3 * decoder.pool.block_bytes)
    cache, other = decoder.new_cache(), decoder.new_cache()
    decoder.forward(tokens[:50], cache)
    decoder.forward(tokens[:60], other)
    with pytest.raises(OutOfMemory):
        decoder.forward(tokens[50:], cache)
    assert (cache.length, cache.block_count, decoder.pool.used) == (50, 1, 2)
    assert np.array_equal(decoder.forward(tokens[50:80], cache, "all"), expected[50:80])
    with pytest.raises(OutOfMemory):
        other.copy_from(cache, 80)
    assert cache.length == 80
    del cache
    other.rewind(0)
    assert np.array_equal(decoder.forward(tokens[:190], other, "all"), expected[:190])
    assert decoder.pool.used == 3


@needs_native
def test_a_block_holds_the_keys_and_values_of_64_tokens(decoder: NativeDecoder) -> None:
    config = decoder.config
    heads_of_16 = -(-config.head_dim // 16) * 16  # values are padded
    assert decoder.pool.block_bytes == 64 * 2 * config.layers * config.kv_heads * (
        config.head_dim + heads_of_16
    )


@needs_native
def test_used_blocks_give_what_new_ones_give(decoder: NativeDecoder) -> None:
    tokens = some_tokens(decoder.config, 200)
    expected = all_logits(decoder, tokens)
    for _ in range(3):
        cache = decoder.new_cache()
        for block in (decoder.pool.take() for _ in range(4)):
            block[:] = 0x7E00  # fp16's NaN
            decoder.pool.give_back(block)
        assert np.array_equal(decoder.forward(tokens, cache, "all"), expected)
        del cache


@needs_native
def test_no_cache_is_longer_than_the_context(decoder: NativeDecoder) -> None:
    assert decoder.new_cache().capacity == decoder.config.context_length
    with pytest.raises(AssertionError, match="context length"):
        decoder.new_cache(decoder.config.context_length + 1)
