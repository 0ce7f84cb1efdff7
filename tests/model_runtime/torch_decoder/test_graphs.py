"""CUDA graphs: whatever is recorded, padded, rewound or cut off, logits equal those of eager steps.

Without a GPU a graph is a tape: what torch did, with the tensors that it did it to.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder import Acceleration, Cache, Decoder
from model_runtime.torch_decoder.acceleration import works
from model_runtime.torch_decoder.graphs import CudaCapture
from tests.model_runtime.torch_decoder.steps import (
    CODEGEN,
    CONFIGS,
    GPT_BIGCODE,
    dequantized,
    random_weights,
    taken_through,
)
from tests.model_runtime.torch_decoder.tape import Recorder

configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def pair(config: DecoderConfig, recorder: Callable[..., Callable[[], None]]) -> tuple[Decoder, Decoder]:
    weights = random_weights(config)
    return Decoder(config, weights), Decoder(config, weights, Acceleration(capture=recorder))


def assert_near(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@configs
def test_recorded_steps_give_the_logits_of_eager_ones(config: DecoderConfig) -> None:
    recorder = Recorder()
    eager, recorded = pair(config, recorder)
    found = taken_through(recorded, recorded.new_cache())
    assert_near(found, taken_through(eager, eager.new_cache()))
    assert len(recorder.replayed) == 8, "all steps but the first, which is too long"
    assert len(recorder.tapes) == 4, "one for each width"


@configs
@pytest.mark.parametrize("length", [250, 256, 505, 511])
def test_recorded_steps_equal_eager_ones_in_every_bucket_and_across_its_end(
    config: DecoderConfig, length: int
) -> None:
    recorder = Recorder()
    eager, recorded = pair(config, recorder)
    tokens = [token % 90 for token in range(length)]
    pieces = [(tokens, 0), ([5], 0), ([6, 7, 8], 0), ([9], 0), ([1, 2, 3, 4, 5], 0), ([6], 0)]
    found = taken_through(recorded, recorded.new_cache(), pieces)
    assert_near(found, taken_through(eager, eager.new_cache(), pieces))
    assert len(recorder.replayed) == 5


def test_a_cache_is_used_to_its_last_place() -> None:
    recorder = Recorder()
    eager, recorded = pair(CODEGEN, recorder)
    pieces = [([1, 2, 3, 4, 5], 0), ([6, 7, 8], 0), ([9, 10, 11], 1), ([12], 0), ([13], 0)]
    found = taken_through(recorded, recorded.new_cache(12), pieces)
    assert_near(found, taken_through(eager, eager.new_cache(12), pieces))
    assert len(recorder.replayed) == 5, "five and three tokens have room to be filled up"


def test_what_cannot_be_padded_within_the_cache_is_computed_eagerly() -> None:
    recorder = Recorder()
    eager, recorded = pair(CODEGEN, recorder)
    pieces = [([1, 2, 3, 4], 0), ([5, 6, 7], 0)]
    found = taken_through(recorded, recorded.new_cache(7), pieces)
    assert_near(found, taken_through(eager, eager.new_cache(7), pieces))
    assert len(recorder.replayed) == 1


def test_stale_cache_contents_do_not_matter() -> None:
    _, recorded = pair(GPT_BIGCODE, Recorder())
    used, fresh = recorded.new_cache(), recorded.new_cache()
    recorded.forward([*range(90), *range(90)], used)
    used.rewind(0)
    for tokens in ([1, 2, 3], [4], [5, 6, 7, 8, 9]):
        assert recorded.forward(tokens, used).tolist() == recorded.forward(tokens, fresh).tolist()


def test_logits_stay_what_they_were_when_the_next_step_is_made() -> None:
    _, recorded = pair(CODEGEN, Recorder())
    cache = recorded.new_cache()
    first = recorded.forward([1, 2], cache, "all")
    kept = first.tolist()
    recorded.forward([3, 4], cache)
    assert first.tolist() == kept


def test_every_cache_has_graphs_of_its_own_and_takes_them_along() -> None:
    recorder = Recorder()
    eager, recorded = pair(CODEGEN, recorder)
    one, other, plain = recorded.new_cache(), recorded.new_cache(), eager.new_cache()
    for tokens in ([1], [2]):
        expected = eager.forward(tokens, plain)
        for cache in (one, other):
            torch.testing.assert_close(recorded.forward(tokens, cache), expected, atol=2e-5, rtol=1e-4)
    assert len(recorder.tapes) == 2


def test_a_cache_that_is_dropped_takes_its_graphs_along() -> None:
    dropped: list[weakref.ref[Callable[[], None]]] = []

    def capture(run: Callable[[], None]) -> Callable[[], None]:
        run()  # as on a GPU, what is kept does not know the cache

        def replay() -> None:
            pass

        dropped.append(weakref.ref(replay))
        return replay

    _, recorded = pair(CODEGEN, capture)
    cache: Cache | None = recorded.new_cache()
    assert cache is not None
    recorded.forward([1], cache)
    assert dropped[0]() is not None
    del cache
    gc.collect()
    assert dropped[0]() is None


def test_without_memory_for_graphs_steps_are_eager_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(run: Callable[[], None]) -> Callable[[], None]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines follow.")

    eager, recorded = pair(CODEGEN, fail)
    with caplog.at_level(logging.WARNING):
        found = taken_through(recorded, recorded.new_cache())
    assert_near(found, taken_through(eager, eager.new_cache()))
    (record,) = caplog.records
    assert "Tried to allocate" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_without_a_compiler_there_are_no_kernels_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> bool:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

    with caplog.at_level(logging.WARNING):
        assert not works(fail)
    (record,) = caplog.records
    assert record.getMessage().endswith("Failed to find C compiler.")


def test_a_decoder_on_the_cpu_records_nothing() -> None:
    decoder = Decoder(CODEGEN, random_weights(CODEGEN))
    assert decoder._graphs is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize(
    ("triton", "dtype", "near"), [(False, torch.float32, 1e-4), (True, torch.float16, 2e-2)]
)
@configs
def test_on_a_gpu_recorded_steps_give_the_logits_of_eager_ones(
    config: DecoderConfig, triton: bool, dtype: torch.dtype, near: float, int8: bool
) -> None:
    config = replace(config, head_dim=32, width=96, mlp_width=128)
    weights = random_weights(config, int8=int8, dtype=dtype, device="cuda")
    kernels = frozenset({"cuda"}) if triton else frozenset[str]()
    recorded = Decoder(config, weights, Acceleration(kernels, CudaCapture(torch.device("cuda", 0))))
    eager = Decoder(config, dequantized(weights, dtype), Acceleration())
    found = taken_through(recorded, recorded.new_cache())
    for ours, theirs in zip(found, taken_through(eager, eager.new_cache()), strict=True):
        assert (ours - theirs).norm() < near * theirs.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_caches_come_and_go_and_steps_are_recorded_again() -> None:
    decoder = Decoder(CODEGEN, random_weights(CODEGEN, dtype=torch.float16, device="cuda"))
    expected = decoder.forward([1, 2, 3], decoder.new_cache()).tolist()
    for _ in range(3):  # each cache is gone before the next one is there
        assert decoder.forward([1, 2, 3], decoder.new_cache()).tolist() == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_decoder_records_by_itself() -> None:
    decoder = Decoder(CODEGEN, random_weights(CODEGEN, dtype=torch.float16, device="cuda"))
    assert decoder._graphs is not None
    one, other = decoder.new_cache(), decoder.new_cache()
    for tokens in ([1, 2, 3], [4], [5]):
        assert decoder.forward(tokens, one).tolist() == decoder.forward(tokens, other).tolist()
