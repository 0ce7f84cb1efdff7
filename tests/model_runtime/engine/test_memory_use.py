"""What an open model says of the engine that computes it, and of its memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from model_runtime.api import MemoryUse, ModelInfo, ModelOptions, Quantize
from model_runtime.engine.engine import CACHE_TOKENS, Engine, EngineOptions
from model_runtime.native import NativeDecoder, kernels, native_problem

NATIVE = native_problem() is None


def open_engine(
    folder: Path, quantize: Quantize = "auto", memory_mb: int | None = None, slots: int = 8
) -> Engine:
    options = ModelOptions(str(folder), "cpu", quantize=quantize, memory_mb=memory_mb)
    return Engine(options, lambda share, what: None, EngineOptions(slots=slots))


def memory(info: ModelInfo) -> MemoryUse:
    assert info.memory is not None
    return info.memory


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built")
def test_the_native_engine_is_named_with_its_kernels(checkpoint_folder: Path) -> None:
    info = open_engine(checkpoint_folder).info
    assert (info.engine, info.native_problem) == (f"native ({kernels()[0]})", None)


def test_torch_is_named_where_weights_are_floats(checkpoint_folder: Path) -> None:
    info = open_engine(checkpoint_folder, "none").info
    assert (info.engine, info.dtype) == ("torch", "fp32")
    assert memory(info).weight_bytes == 4 * info.parameters


def test_a_cpu_without_the_native_engine_says_why(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hardware.device", "checkpoints.loading", "engine.engine"):
        monkeypatch.setattr(f"model_runtime.{name}.native_problem", lambda: "there is no compiler")
    info = open_engine(checkpoint_folder).info
    assert (info.engine, info.dtype, info.native_problem) == ("torch", "fp32", "there is no compiler")


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built")
def test_quantised_weights_are_counted_as_they_are_held(checkpoint_folder: Path) -> None:
    floats, eight, four = (
        memory(open_engine(checkpoint_folder, quantize).info).weight_bytes
        for quantize in ("none", "int8", "int4")
    )
    assert four < eight < floats


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built")
@pytest.mark.parametrize("memory_mb", [64, None])
def test_the_cache_takes_no_more_than_its_limit_nor_than_there_can_be_tokens(
    checkpoint_folder: Path, memory_mb: int | None
) -> None:
    engine = open_engine(checkpoint_folder, memory_mb=memory_mb, slots=3)
    assert isinstance(engine.decoder, NativeDecoder)
    use, context = memory(engine.info), engine.info.context_length
    assert use.cache_tokens == 3 * min(context, CACHE_TOKENS)
    assert use.cache_bytes == engine.decoder.pool.bytes_for(use.cache_tokens) <= 64 << 20


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built")
def test_a_limit_that_is_smaller_than_the_caches_is_what_they_take(checkpoint_folder: Path) -> None:
    whole = memory(open_engine(checkpoint_folder, memory_mb=64, slots=2_000_000).info)
    assert whole.cache_bytes <= 64 << 20
    assert whole.cache_bytes > 60 << 20


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built")
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is mapped")
def test_a_file_whose_weights_were_copied_is_not_kept_in_memory(checkpoint_folder: Path) -> None:
    maps = Path("/proc/self/maps")
    before = maps.read_text(encoding="utf-8").count(str(checkpoint_folder))
    engine = open_engine(checkpoint_folder)
    assert isinstance(engine.decoder, NativeDecoder)
    assert maps.read_text(encoding="utf-8").count(str(checkpoint_folder)) == before
