"""Decides which device holds and runs each module of a decoder, if one device is too small for all of them.

accelerate assigns whole blocks in the model's order, so that activations change the device as seldom as
possible. Blocks that do not fit on the GPUs run on the CPU; none is moved for a pass, and none is kept on
disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from model_runtime.api import Dtype, OutOfMemory
from model_runtime.decoding import DecoderConfig, weight_shapes

DeviceName = int | str
"""A device as accelerate names it: a CUDA GPU's number, or "cpu"."""

DeviceMap = Mapping[str, str]
"""The device of each module: `embedding`, `positions`, `blocks.N`, `final_norm` and `head`."""

WORKING_BYTES = 512 * 2**20
"""Kept free on each device for a step: activations, masks, tables, the libraries' workspaces."""


def map_devices(
    config: DecoderConfig,
    dtype: Dtype,
    int8: bool = False,
    *,
    memory: Mapping[DeviceName, int] | None = None,
    cache_tokens: int | None = None,
) -> DeviceMap:
    """Choose the device of each module: the first GPU that holds all, else several GPUs, else also the CPU.

    Args:
        config: of the decoder.
        dtype: of weights and cache.
        int8: whether matrices are int8 instead.
        memory: the free bytes of each device that may be used; by default measured on this machine.
        cache_tokens: the cache's capacity, for which blocks leave room; the context length by default, which
            it cannot exceed.

    Raises:
        OutOfMemory: all devices together are too small.
    """
    from accelerate import infer_auto_device_map, init_empty_weights
    from accelerate.utils import get_balanced_memory, get_max_memory

    from model_runtime.checkpoints.skeleton import Block, skeleton

    capacity = min(cache_tokens or config.context_length, config.context_length)
    sizes = _sizes(config, dtype, int8, capacity)
    free = get_max_memory(dict(memory) if memory is not None else None)  # GPUs come first
    usable = {name: size - WORKING_BYTES for name, size in free.items() if size > WORKING_BYTES}
    for name, size in usable.items():
        if sum(sizes.values()) <= size and (name != "cpu" or len(usable) == 1):
            return dict.fromkeys(_modules(config), _device(name))

    with init_empty_weights(include_buffers=True):
        modules = skeleton(sizes)
    # Even shares leave some memory free on each GPU, but where GPUs differ the larger one may stay half
    # empty.
    for limits in (get_balanced_memory(modules, usable, [Block.__name__]), usable):
        found = infer_auto_device_map(modules, limits, [Block.__name__], clean_result=False)
        if not {"cpu", "disk"} & set(found.values()):
            break
    if "disk" in found.values():
        raise OutOfMemory(_too_small(sum(sizes.values()), free))
    # Blocks that are all on the same device are returned as one entry.
    devices = {name: _device(found[name if name in found else "blocks"]) for name in sizes}
    return {name: devices[_placed_with(name, config)] for name in _modules(config)}


def module_of(weight: str) -> str:
    """The module that a weight belongs to: `blocks.7.qkv.weight` to `blocks.7`, `head.bias` to `head`."""
    parts = weight.split(".")
    return ".".join(parts[:2]) if parts[0] == "blocks" else parts[0]


def _modules(config: DecoderConfig) -> list[str]:
    """All modules, in the order of computation."""
    blocks = [f"blocks.{layer}" for layer in range(config.layers)]
    return ["embedding", "positions", *blocks, "final_norm", "head"]


def _placed_with(module: str, config: DecoderConfig) -> str:
    """The module that this one must share a device with: itself, or the embedding for a tied head."""
    shared = ("positions", "head") if config.tied_head else ("positions",)
    return "embedding" if module in shared else module


def _sizes(config: DecoderConfig, dtype: Dtype, int8: bool, capacity: int) -> dict[str, int]:
    """The bytes of each module and those that share its device; a block's include its part of the cache."""
    number = 4 if dtype == "fp32" else 2
    cache = 2 * config.kv_heads * capacity * config.head_dim * number
    sizes = {
        _placed_with(name, config): cache if name.startswith("blocks.") else 0 for name in _modules(config)
    }
    for weight, shape in weight_shapes(config).items():
        itemsize = 1 if int8 and len(shape) == 2 else number  # the scales are negligible
        sizes[_placed_with(module_of(weight), config)] += math.prod(shape) * itemsize
    return sizes


def _device(name: DeviceName) -> str:
    return f"cuda:{name}" if isinstance(name, int) else name


def _too_small(needed: int, free: Mapping[DeviceName, int]) -> str:
    available = ", ".join(f"{size / 1e9:.1f} GB on {_device(name)}" for name, size in free.items())
    return (
        f"the model with its cache needs {needed / 1e9:.1f} GB, in whole blocks and with room to work in; "
        f"free: {available}; use a smaller model, or --dtype bf16, or --quantize int8"
    )
