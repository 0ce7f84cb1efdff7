"""Measures real, small checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_runtime import ModelOptions, measure_speed
from model_runtime.api import Bandwidth, ContextSpeed, Dtype, ModelInfo, ModelNotFound, Speed
from model_runtime.checkpoints import load
from model_runtime.decoding import as_logits
from model_runtime.engine.engine import Engine
from model_runtime.engine.measuring import TunedDecoder, context_lengths, read_bandwidth

INFO = ModelInfo("m", "f", 1, 2048, "cpu", "fp32", fill_in_the_middle=True)


@pytest.mark.parametrize(
    ("room", "quick", "lengths"),
    [
        (736, False, [128, 256, 512, 736]),
        (600, False, [128, 256, 512]),
        (5000, False, [128, 256, 512, 1024, 2048]),
        (90, False, [90]),
        (736, True, [128, 512]),
        (200, True, [128]),
        (90, True, [90]),
        (-3, False, [1]),
    ],
)
def test_context_lengths_fill_the_room_there_is(room: int, quick: bool, lengths: list[int]) -> None:
    assert context_lengths(room, quick) == lengths


def test_a_model_is_measured_at_growing_lengths(checkpoint_folder: Path, dtype: Dtype) -> None:
    reported: list[tuple[float, str]] = []
    threads = torch.get_num_threads()
    speed = measure_speed(
        ModelOptions(str(checkpoint_folder), dtype=dtype, quantize="none"),
        progress=lambda share, what: reported.append((share, what)),
    )
    assert [context.tokens for context in speed.contexts] == [128, 224]
    assert all(context.prefill_ms > context.decode_ms > 0 for context in speed.contexts)
    assert [found.threads for found in speed.bandwidth] == [1]  # the tests allow one thread
    assert speed.bandwidth[0].bytes_per_second > 1e8
    assert (speed.model.name, speed.model.dtype) == (checkpoint_folder.name, dtype)
    assert torch.get_num_threads() == threads
    shares = [share for share, _ in reported]
    assert shares == sorted(shares)
    assert (shares[-1], "224 tokens" in reported[-1][1]) == (1, True)


def test_a_decode_step_reads_every_weight_but_the_embedding_tables(checkpoint_folder: Path) -> None:
    decoder = load(checkpoint_folder, device="cpu", dtype="fp32").decoder
    config = decoder.config
    assert config.tied_head
    assert decoder.step_bytes == 4 * (decoder.parameters - config.context_length * config.width)


def test_the_tuned_decoder_gives_the_decoders_own_logits(checkpoint_folder: Path) -> None:
    engine = Engine(ModelOptions(str(checkpoint_folder)), lambda share, what: None)
    decoder, tuned = engine.decoder, TunedDecoder(engine)
    assert tuned.threads is not None
    theirs = as_logits(decoder.forward([5, 6, 7], decoder.new_cache()))
    assert np.array_equal(tuned.forward([5, 6, 7], decoder.new_cache()), theirs)


def test_bandwidth_is_that_of_the_fastest_read() -> None:
    assert 1e8 < read_bandwidth("cpu", rounds=1, size=2**24) < 1e13


def test_the_share_of_the_limit_is_the_time_of_one_read_of_the_weights() -> None:
    context = ContextSpeed(512, prefill_ms=256.0, decode_ms=4.0)
    bandwidth = (Bandwidth(1, 10e9), Bandwidth(2, 20e9))
    speed = Speed(INFO, 2, 1, bandwidth, 40_000_000, (context,))
    assert speed.limit_ms == pytest.approx(2)
    assert speed.share_of_limit(context) == pytest.approx(0.5)
    assert context.prefill_tokens_per_second == pytest.approx(2000)
    assert Speed(INFO, 1, 1, (), 40_000_000, (context,)).share_of_limit(context) is None


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        measure_speed(ModelOptions(str(tmp_path / "gone")))
