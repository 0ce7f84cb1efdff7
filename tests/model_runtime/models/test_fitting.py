"""Whether a model fits: its weights and KV cache into free memory, its tokens into the time that there is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from model_runtime.models.fitting import (
    PROCESS_BYTES,
    Kind,
    Machine,
    Shape,
    cache_values,
    fit,
    read_bandwidth,
    this_machine,
)
from model_runtime.models.known import KNOWN_MODELS

GB = 10**9
SMALL = Shape(1_000_000_000, cache_values=2 * 24 * 128)


@pytest.mark.parametrize(
    ("kind", "weights", "value_bytes"), [("native", 1.0625 * GB, 2), ("torch", 4 * GB, 4), ("gpu", 2 * GB, 2)]
)
def test_a_model_needs_its_weights_a_full_cache_and_the_process(
    kind: Kind, weights: float, value_bytes: int
) -> None:
    needs = int(PROCESS_BYTES[kind] + weights + 2 * 24 * 128 * 4096 * value_bytes)
    assert fit(SMALL, Machine(kind, needs, None)).obstacle is None
    found = fit(SMALL, Machine(kind, needs - 1, None))
    assert (found.needs, found.obstacle) == (needs, "memory")


def test_a_short_context_needs_a_small_cache() -> None:
    short = Shape(1_000_000, cache_values=1_000_000, context=100)
    assert (
        fit(short, Machine("native", GB, None)).needs
        == PROCESS_BYTES["native"] + 1_062_500 + 2 * 100 * 1_000_000
    )


def test_a_gguf_file_is_taken_as_it_is_where_the_native_engine_computes() -> None:
    file = Shape(None, gguf_bytes=4 * GB, cache_values=0)
    assert fit(file, Machine("native", 8 * GB, 80 * GB)).needs == PROCESS_BYTES["native"] + 4 * GB
    assert fit(file, Machine("torch", 8 * GB, 80 * GB)).needs is None


def test_a_token_takes_as_long_as_reading_the_weights() -> None:
    fast, slow = (fit(SMALL, Machine("native", 8 * GB, speed)) for speed in (12.5 * GB, 10 * GB))
    assert (fast.token_ms, fast.obstacle) == (85.0, None)
    assert (slow.token_ms, slow.obstacle) == (106.25, "speed")


def test_a_model_that_is_too_large_is_not_called_too_slow() -> None:
    assert fit(SMALL, Machine("native", GB, GB)).obstacle == "memory"


def test_the_time_of_a_token_is_not_guessed_on_a_gpu() -> None:
    assert fit(SMALL, Machine("gpu", 8 * GB, None)).token_ms is None


def test_of_a_model_of_unknown_size_nothing_is_said() -> None:
    found = fit(Shape(None), Machine("native", 8 * GB, GB))
    assert (found.needs, found.token_ms, found.obstacle) == (None, None, None)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        ({"n_layer": 4, "n_embd": 192, "n_head": 3, "multi_query": True}, 2 * 4 * 64),
        ({"n_layer": 20, "n_embd": 1024, "n_head": 16}, 2 * 20 * 1024),
        (
            {
                "num_hidden_layers": 30,
                "hidden_size": 576,
                "num_attention_heads": 9,
                "num_key_value_heads": 3,
            },
            2 * 30 * 192,
        ),
        ({"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "head_dim": 16}, 2 * 2 * 32),
        ({"n_layer": "many", "n_embd": 8, "n_head": 0}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_token_s_cache_is_in_the_config(config: dict[str, Any], values: int | None) -> None:
    assert cache_values(config) == values


def test_the_cache_of_no_large_known_model_is_larger_than_is_assumed_of_unknown_ones() -> None:
    machine = Machine("native", 1000 * GB, None)
    for model in (model for model in KNOWN_MODELS if model.parameters >= GB):
        known = fit(Shape(model.parameters, cache_values=model.cache_values), machine).needs
        unknown = fit(Shape(model.parameters), machine).needs
        assert known is not None
        assert unknown is not None
        assert known <= unknown, model.name


def test_this_machine_has_memory_and_is_measured_once() -> None:
    machine = this_machine()
    assert machine.free > GB / 4
    if machine.kind != "gpu":
        started = time.perf_counter()
        assert machine.bytes_per_second == read_bandwidth() > GB / 10
        assert time.perf_counter() - started < 0.01


def test_finding_it_out_imports_no_torch() -> None:
    check = (
        "import sys; from model_runtime.models.fitting import this_machine; this_machine(); "
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", check], cwd=root, timeout=60, check=False).returncode == 0
