"""Which device each module gets, from sizes and free memory alone: nothing of the size is allocated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from model_runtime.api import Dtype, OutOfMemory
from model_runtime.checkpoints import load, map_devices
from model_runtime.checkpoints.device_map import WORKING_BYTES, DeviceMap, DeviceName
from model_runtime.decoding import DecoderConfig, Rotary, weight_shapes
from model_runtime.hardware.device import devices_name

GB = 10**9
BF16: Dtype = "bf16"

LARGE = DecoderConfig(
    vocab_size=51200,
    context_length=2048,
    width=6144,
    layers=34,
    heads=24,
    kv_heads=24,
    head_dim=256,
    mlp_width=24576,
    rotary=Rotary(dim=64, theta=10000.0),
    block="parallel",
    norm="layernorm",
    norm_eps=1e-5,
    mlp="plain",
    activation="gelu_tanh",
    attention_scale=1 / 16,
    biases=frozenset({"mlp", "head"}),
    tied_head=False,
)
"""CodeGen's largest, with 16 billion parameters: 32 GB in bf16, and 1.7 GB for its cache."""


def used(found: DeviceMap, config: DecoderConfig, tokens: int) -> Counter[str]:
    """The bytes of weights and cache on each device, summed up anew."""
    sums: Counter[str] = Counter()
    for weight, shape in weight_shapes(config).items():
        module = next(name for name in found if weight.startswith(f"{name}."))
        sums[str(found[module])] += 2 * math.prod(shape)
    for layer in range(config.layers):
        sums[str(found[f"blocks.{layer}"])] += 2 * 2 * config.kv_heads * tokens * config.head_dim
    return sums


def in_order(found: DeviceMap) -> list[str]:
    """The devices as a step comes by them."""
    return [device for device, _ in groupby(map(str, found.values()))]


@pytest.mark.parametrize(
    ("memory", "device"),
    [
        ({0: 80 * GB, "cpu": 500 * GB}, "cuda:0"),
        ({0: 80 * GB, 1: 80 * GB, "cpu": 500 * GB}, "cuda:0"),
        ({0: 20 * GB, 1: 80 * GB, "cpu": 500 * GB}, "cuda:1"),
        ({"cpu": 64 * GB}, "cpu"),
        ({0: WORKING_BYTES, "cpu": 64 * GB}, "cpu"),
    ],
    ids=["one GPU", "the first of two", "the second of two", "no GPU", "a GPU with no room"],
)
def test_a_model_that_fits_one_device_gets_one(memory: Mapping[DeviceName, int], device: str) -> None:
    found = map_devices(LARGE, BF16, memory=memory)
    assert in_order(found) == [device]
    assert list(found) == [
        "embedding",
        "positions",
        *(f"blocks.{layer}" for layer in range(34)),
        "final_norm",
        "head",
    ]


@pytest.mark.parametrize("sizes", [(24, 24), (34, 10), (10, 34), (14, 14, 14)])
def test_several_gpus_are_taken_before_the_cpu(sizes: tuple[int, ...]) -> None:
    memory: dict[DeviceName, int] = {number: size * GB for number, size in enumerate(sizes)}
    found = map_devices(LARGE, BF16, memory={**memory, "cpu": 500 * GB})
    assert in_order(found) == [f"cuda:{number}" for number in range(len(sizes))]


def test_what_does_not_fit_on_the_gpus_is_on_the_cpu() -> None:
    found = map_devices(LARGE, BF16, memory={0: 12 * GB, 1: 8 * GB, "cpu": 64 * GB})
    assert in_order(found) == ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("gpu", range(1, 36, 3))
@pytest.mark.parametrize("tokens", [512, 4096, 16384])
def test_no_device_is_given_more_than_it_has_room_for(gpu: int, tokens: int) -> None:
    config = replace(LARGE, context_length=16384)
    found = map_devices(config, BF16, memory={0: gpu * GB, 1: 9 * GB, "cpu": 64 * GB}, cache_tokens=tokens)
    sums = used(found, config, tokens)
    assert sums["cuda:0"] <= gpu * GB - WORKING_BYTES
    assert sums["cuda:1"] <= 9 * GB - WORKING_BYTES
    assert sums["cpu"] <= 64 * GB - WORKING_BYTES
    assert len(in_order(found)) == len(set(in_order(found))), "a device that was left is not come back to"


def test_a_larger_cache_leaves_room_for_fewer_blocks() -> None:
    config = replace(LARGE, context_length=16384)
    memory: dict[DeviceName, int] = {0: 24 * GB, "cpu": 64 * GB}
    short, long = (
        Counter(map(str, map_devices(config, BF16, memory=memory, cache_tokens=tokens).values()))["cuda:0"]
        for tokens in (512, 16384)
    )
    assert short > long > 0


def test_there_is_never_room_for_more_tokens_than_the_context_has() -> None:
    memory: dict[DeviceName, int] = {0: 36 * GB, "cpu": 64 * GB}
    assert in_order(map_devices(LARGE, BF16, memory=memory, cache_tokens=10**6)) == ["cuda:0"]


def test_a_tied_head_and_learned_positions_are_where_the_embedding_is() -> None:
    config = replace(LARGE, tied_head=True, rotary=None, biases=frozenset({"mlp"}))
    found = map_devices(config, BF16, memory={0: 12 * GB, "cpu": 64 * GB})
    assert in_order(found) == ["cuda:0", "cpu", "cuda:0"]
    assert found["embedding"] == found["positions"] == found["head"] == "cuda:0"


def test_too_little_memory_is_one_line_with_what_is_needed_and_what_there_is() -> None:
    with pytest.raises(OutOfMemory) as caught:
        map_devices(LARGE, BF16, memory={0: 12 * GB, "cpu": 8 * GB})
    message = str(caught.value)
    assert "needs 33.8 GB" in message
    assert "12.0 GB on cuda:0, 8.0 GB on cpu" in message
    assert "\n" not in message


def test_devices_that_have_no_room_at_all_are_too_little_memory() -> None:
    with pytest.raises(OutOfMemory, match=r"0\.0 GB on cpu"):
        map_devices(LARGE, BF16, memory={"cpu": 1})


def test_the_memory_of_this_machine_is_used_by_default() -> None:
    small = replace(LARGE, layers=1, width=64, heads=2, kv_heads=2, head_dim=32, mlp_width=64, rotary=None)
    assert len(in_order(map_devices(small, BF16))) == 1


@pytest.mark.parametrize("multi_query", [True, False])
def test_a_load_puts_each_weight_where_the_device_map_says(tmp_path: Path, multi_query: bool) -> None:
    from tests.model_runtime.factory import write_checkpoint

    write_checkpoint(tmp_path, multi_query=multi_query)
    asked: list[Dtype] = []

    def planner(config: DecoderConfig, dtype: Dtype, int8: bool) -> DeviceMap:
        asked.append(dtype)
        found = dict.fromkeys(map_devices(config, dtype, memory={"cpu": GB}), "cpu")
        return {**found, f"blocks.{config.layers - 1}": "meta"}

    decoder = load(tmp_path, device=planner, dtype=BF16).decoder
    assert asked == [BF16]
    assert list(map(str, decoder.devices)) == [*["cpu"] * (decoder.config.layers - 1), "meta"]


@pytest.mark.parametrize(
    ("devices", "name"),
    [
        (["cpu"] * 2, "cpu"),
        (["cuda:0"] * 3, "cuda:0"),
        ([*["cuda:0"] * 20, *["cpu"] * 12], "cuda:0 (20 blocks), cpu (12 blocks)"),
        (["cuda:0", "cuda:1", "cuda:1"], "cuda:0 (1 block), cuda:1 (2 blocks)"),
    ],
)
def test_the_devices_of_blocks_are_described_for_people(devices: list[str], name: str) -> None:
    assert devices_name(devices) == name
