"""Requests to chunks, without threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_runtime.api import (
    Chunk,
    CompletionRequest,
    CorruptCheckpoint,
    Device,
    DeviceUnavailable,
    Dtype,
    ModelOptions,
    OutOfMemory,
    Usage,
)
from model_runtime.engine.engine import Engine, EngineOptions
from model_runtime.hardware.device import memory_errors, resolve_device, resolve_dtype
from tests.model_runtime.factory import train_tokenizer, write_checkpoint
from tests.model_runtime.watching import watch

REQUEST = CompletionRequest(prefix="def add(first, second):\n    ret", suffix="\n", max_tokens=16)

PLAIN = EngineOptions(chunk=16, background=False, draft=False, heal=False)
"""Only the model: the prompt as it is, one token per pass, and prefill chunks of one size."""


def open_engine(
    folder: Path, dtype: Dtype = "auto", device: Device = "cpu", how: EngineOptions = PLAIN
) -> Engine:
    options = ModelOptions(model=str(folder), device=device, dtype=dtype, quantize="none")
    return Engine(options, lambda share, what: None, how)


@pytest.fixture
def engine(checkpoint_folder: Path, dtype: Dtype) -> Engine:
    return open_engine(checkpoint_folder, dtype)


def usage(chunks: list[Chunk]) -> Usage:
    assert chunks[-1].usage is not None
    return chunks[-1].usage


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_an_open_model_describes_itself(engine: Engine, dtype: Dtype) -> None:
    assert (engine.info.name, engine.info.family, engine.info.device) == ("tiny-fim", "gpt_bigcode", "cpu")
    assert engine.info.dtype == dtype
    assert engine.info.context_length == 256
    assert engine.info.fill_in_the_middle


def test_a_request_ends_at_its_length(engine: Engine) -> None:
    chunks = list(engine.complete(REQUEST))
    assert [chunk.finish for chunk in chunks] == [None] * 16 + ["length"]
    assert usage(chunks).decoded_tokens == 16
    assert text(chunks)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_chunks_make_the_text_of_all_tokens_decoded_at_once(
    tmp_path: Path, dtype: Dtype, ascii_only: bool
) -> None:
    from model_runtime.checkpoints import load
    from model_runtime.decoding import Sampler, generate
    from model_runtime.prompting import find_sentinels, lay_out
    from model_runtime.tokenization.tokenizer import Tokenizer

    write_checkpoint(tmp_path, ascii_only=ascii_only)
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    decoder = load(tmp_path, device="cpu", dtype=dtype).decoder
    for suffix in ("", "\n    return total\n"):
        request = CompletionRequest(prefix="total = 0\nfor ", suffix=suffix, max_tokens=40)
        prompt = next(lay_out(request, tokenizer, find_sentinels(tokenizer), 200))
        cache, chunk = decoder.new_cache(), PLAIN.chunk or 0
        tokens = generate(decoder, cache, prompt.tokens, Sampler(), max_tokens=40, chunk=chunk)
        whole = tokenizer.decode([token for token in tokens if token is not None])
        sound = whole.partition("\ufffd")[0]  # where bytes are no text, an engine stops
        assert text(list(open_engine(tmp_path, dtype).complete(request))) == sound


def test_bytes_that_are_no_text_stop_the_completion_and_half_a_character_is_not_said(
    tmp_path: Path, dtype: Dtype
) -> None:
    first_bytes = {chr(byte) for byte in range(0xC2, 0xF5)}  # of longer characters, as tokenizers spell them
    vocabulary = train_tokenizer().get_vocab().items()
    mute = [token for spelling, token in vocabulary if spelling not in first_bytes]
    write_checkpoint(tmp_path, ascii_only=False, mute=mute)
    engine = open_engine(tmp_path, dtype)
    chunks = list(engine.complete(REQUEST))
    assert (text(chunks), chunks[-1].finish, usage(chunks).decoded_tokens) == ("", "stop", 2)
    chunks = list(engine.complete(replace(REQUEST, max_tokens=1)))
    assert (text(chunks), chunks[-1].finish, usage(chunks).decoded_tokens) == ("", "length", 1)


def test_after_typing_only_new_tokens_are_computed(engine: Engine) -> None:
    first = usage(list(engine.complete(REQUEST)))
    longer = replace(REQUEST, prefix=REQUEST.prefix + "urn first", max_tokens=4)
    second = list(engine.complete(longer))
    assert first.reused_tokens == 0
    assert usage(second).reused_tokens >= first.prompt_tokens - 1
    assert usage(second).prompt_tokens > first.prompt_tokens


def test_what_came_before_does_not_change_an_answer(
    engine: Engine, checkpoint_folder: Path, dtype: Dtype
) -> None:
    watched = watch(engine)
    for suffix in ("\n", "", "\n)", "\n"):
        request = CompletionRequest(prefix=REQUEST.prefix, suffix=suffix, max_tokens=8)
        chunks = list(engine.complete(request))
        cold = list(open_engine(checkpoint_folder, dtype).complete(request))
        assert text(chunks) == text(cold) or watched.is_rounding(usage(chunks))


def test_an_end_of_text_stops_the_completion(tmp_path: Path, dtype: Dtype) -> None:
    write_checkpoint(tmp_path, eos_token_id=list(range(384)))  # any token ends the text
    chunks = list(open_engine(tmp_path, dtype).complete(REQUEST))
    assert [chunk.finish for chunk in chunks] == [None, "stop"]
    assert usage(chunks).decoded_tokens == 1


def test_a_token_that_the_tokenizer_does_not_know_stops_the_completion(tmp_path: Path, dtype: Dtype) -> None:
    write_checkpoint(tmp_path, vocab_size=2000, ascii_only=False, mute=range(384))
    [*_, last] = open_engine(tmp_path, dtype).complete(REQUEST)
    assert (last.finish, last.usage and last.usage.decoded_tokens) == ("stop", 1)


def test_the_context_is_never_exceeded(tmp_path: Path, dtype: Dtype) -> None:
    write_checkpoint(tmp_path, n_positions=32)
    engine = open_engine(tmp_path, dtype)
    chunks = list(engine.complete(CompletionRequest(prefix="x = 1\n" * 50, max_tokens=1000)))
    assert chunks[-1].finish == "length"
    assert usage(chunks).prompt_tokens <= 16
    assert usage(chunks).prompt_tokens + usage(chunks).decoded_tokens == 33  # the last is never fed back


def test_a_seed_repeats_a_sampled_completion(engine: Engine) -> None:
    def sampled(seed: int) -> str:
        request = CompletionRequest(prefix="x = ", temperature=1.5, seed=seed, max_tokens=20)
        return text(list(engine.complete(request)))

    sampled(0)  # from now on the same is in the cache each time, and all is rounded in the same way
    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


@pytest.mark.parametrize("prefix", ["", "x"])
def test_a_model_without_sentinels_continues_the_prefix(tmp_path: Path, prefix: str, dtype: Dtype) -> None:
    write_checkpoint(tmp_path, tokenizer=train_tokenizer(("<|endoftext|>",)))
    engine = open_engine(tmp_path, dtype)
    assert not engine.info.fill_in_the_middle
    chunks = list(engine.complete(CompletionRequest(prefix=prefix, suffix="\n", max_tokens=3)))
    assert usage(chunks).prompt_tokens == 1


def test_a_tokenizer_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, vocab_size=300, ascii_only=False)
    with pytest.raises(CorruptCheckpoint, match="384 tokens, the model 300"):
        open_engine(tmp_path)


def test_a_device_that_is_not_there_is_named(checkpoint_folder: Path) -> None:
    missing: Device = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(DeviceUnavailable, match=f"'{missing}' is not available here: use one of .*cpu"):
        open_engine(checkpoint_folder, device=missing)


def test_auto_is_full_precision_on_the_cpu_and_half_elsewhere() -> None:
    assert resolve_device("auto") in ("cpu", "cuda", "mps")
    assert resolve_dtype("auto", "cpu") == "fp32"
    assert resolve_dtype("auto", "mps") == "fp16"
    assert resolve_dtype("bf16", "cpu") == "bf16"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_every_way_of_being_out_of_memory_is_one_error(error: Exception) -> None:
    with pytest.raises(OutOfMemory, match="smaller model"), memory_errors():
        raise error


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors():
        raise RuntimeError("shapes cannot be multiplied")
