"""Which device each part of a decoder lives and runs on, where one device cannot hold all of it.

Facts and free memory in, a device for each module out; `loading` puts the weights there, and the decoder
follows them. Accelerate does the packing: in the model's order and by whole blocks, so that activations
change the device as seldom as can be. A block is never fetched to run elsewhere: what does not fit on the
GPUs runs on the CPU, and nothing is kept on disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from model_runtime.api import OutOfMemory
from model_runtime.decoding import DecoderConfig, weight_shapes

Place = int | str
"""A device as accelerate names it: a CUDA GPU's number, or "cpu"."""

Plan = Mapping[str, torch.device]
"""The device of each module: `embedding`, `positions`, `blocks.N`, `final_norm` and `head`."""

WORKING_BYTES = 512 * 2**20
"""Kept free on each device for what a step needs: activations, masks, tables, the libraries' workspaces."""


def plan(
    config: DecoderConfig,
    dtype: torch.dtype,
    int8: bool = False,
    *,
    memory: Mapping[Place, int] | None = None,
    cache_tokens: int | None = None,
) -> Plan:
    """Find a place for each module: the first GPU that holds all, else several GPUs, else GPUs and the CPU.

    Args:
        config: the decoder's facts.
        dtype: of weights and cache.
        int8: whether matrices are int8 instead.
        memory: the free bytes of each device that may be used; what this machine has unless told otherwise.
        cache_tokens: the cache's capacity, for which there is room beside each block; the context length by
            default, and never more than that.

    Raises:
        OutOfMemory: all devices together are too small.
    """
    from accelerate import infer_auto_device_map, init_empty_weights
    from accelerate.utils import get_balanced_memory, get_max_memory

    capacity = min(cache_tokens or config.context_length, config.context_length)
    sizes = _sizes(config, dtype, int8, capacity)
    free = get_max_memory(dict(memory) if memory is not None else None)  # GPUs come first
    room = {place: size - WORKING_BYTES for place, size in free.items() if size > WORKING_BYTES}
    for place, size in room.items():
        if sum(sizes.values()) <= size and (place != "cpu" or len(room) == 1):
            return dict.fromkeys(_modules(config), _device(place))

    with init_empty_weights(include_buffers=True):
        skeleton = _Skeleton(sizes)
    # Even shares leave each GPU some air, but where GPUs differ they can leave the larger one half empty.
    for limits in (get_balanced_memory(skeleton, room, [_Block.__name__]), room):
        found = infer_auto_device_map(skeleton, limits, [_Block.__name__], clean_result=False)
        if not {"cpu", "disk"} & set(found.values()):
            break
    if "disk" in found.values():
        raise OutOfMemory(_too_small(sum(sizes.values()), free))
    # Where all blocks got the same place, they are named as one.
    places = {name: found[name if name in found else "blocks"] for name in sizes}
    return {name: _device(places[_home(name, config)]) for name in _modules(config)}


def module_of(weight: str) -> str:
    """The module that a weight belongs to: `blocks.7.qkv.weight` to `blocks.7`, `head.bias` to `head`."""
    parts = weight.split(".")
    return ".".join(parts[:2]) if parts[0] == "blocks" else parts[0]


class _Part(nn.Module):
    """So many bytes that stay together."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bytes = nn.Parameter(torch.empty(size, dtype=torch.uint8), requires_grad=False)


class _Block(_Part):
    """A decoder's block, which accelerate is told by this name not to divide."""


class _Skeleton(nn.Module):
    """What accelerate looks at in place of a decoder: the same modules in the same order."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.embedding = _Part(sizes["embedding"])
        self.blocks = nn.ModuleList(
            _Block(size) for name, size in sizes.items() if name.startswith("blocks.")
        )
        self.final_norm = _Part(sizes["final_norm"])
        if "head" in sizes:
            self.head = _Part(sizes["head"])


def _modules(config: DecoderConfig) -> list[str]:
    """All modules, in the order in which they run."""
    blocks = [f"blocks.{layer}" for layer in range(config.layers)]
    return ["embedding", "positions", *blocks, "final_norm", "head"]


def _home(module: str, config: DecoderConfig) -> str:
    """The module whose place this one shares: a tied head is the embedding, and nothing is copied for it."""
    shared = ("positions", "head") if config.tied_head else ("positions",)
    return "embedding" if module in shared else module


def _sizes(config: DecoderConfig, dtype: torch.dtype, int8: bool, capacity: int) -> dict[str, int]:
    """The bytes of each module with those that share its place; a block's with its part of the cache."""
    cache = 2 * config.kv_heads * capacity * config.head_dim * dtype.itemsize
    sizes = {_home(name, config): cache if name.startswith("blocks.") else 0 for name in _modules(config)}
    for weight, shape in weight_shapes(config).items():
        itemsize = 1 if int8 and len(shape) == 2 else dtype.itemsize  # scales, one a row, are next to nothing
        sizes[_home(module_of(weight), config)] += math.prod(shape) * itemsize
    return sizes


def _device(place: Place) -> torch.device:
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


def _too_small(needed: int, free: Mapping[Place, int]) -> str:
    there = ", ".join(f"{size / 1e9:.1f} GB on {_device(place)}" for place, size in free.items())
    return (
        f"the model with its cache needs {needed / 1e9:.1f} GB, in whole blocks and with room to work in; "
        f"free: {there}; use a smaller model, or --dtype bf16, or --quantize int8"
    )
