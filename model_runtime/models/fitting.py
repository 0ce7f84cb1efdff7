"""Whether a model fits this machine: the memory that it would take, and a token's time. Imports no torch.

A model is taken in the format that it would have here by default: int8 on a CPU with the native engine, fp32
on one without, half precision on a GPU. A GGUF file stays as it is in the native engine. A token's time is
that of reading the weights once, which is what limits a CPU.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from model_runtime.api import Obstacle
from model_runtime.native import GROUP, native_problem

Kind = Literal["native", "torch", "gpu"]

PARAMETER_BYTES: Mapping[Kind, float] = {"native": (GROUP + 2) / GROUP, "torch": 4, "gpu": 2}
"""Bytes of a weight; the native engine has an fp16 scale for each group of int8 values."""

CACHE_VALUE_BYTES: Mapping[Kind, int] = {"native": 2, "torch": 4, "gpu": 2}
"""Bytes of a key's or value's element."""

CACHE_TOKENS = 4096
"""Tokens of the longest prompt and completion, for which there has to be room."""

CACHE_SHARE = 1 / 3
"""Elements of the KV cache in proportion to the parameters, where the shape is not known: what 4,096 tokens
take at most in the known models of a billion parameters and more."""

PROCESS_BYTES: Mapping[Kind, int] = {"native": 150 * 10**6, "torch": 300 * 10**6, "gpu": 300 * 10**6}
"""What the server takes without a model, with torch where that computes."""

MAX_TOKEN_MS = 100.0
"""A model with slower tokens is not called fitting: a short line would take a second."""

MEASURED_BYTES, PIECE_BYTES = 64 * 2**20, 16 * 2**20
"""Memory that is read to measure the bandwidth, more than most CPUs' caches hold; and the piece of it that is
timed, short enough for other programs not to interrupt it."""

MEASURING_SECONDS, MAX_THREADS = 0.04, 8


@dataclass(frozen=True)
class Machine:
    """What decides which models fit.

    Attributes:
        kind: what would compute.
        free: bytes of free memory, of the GPU where that would compute.
        bytes_per_second: read from memory; None for a GPU, where it is not measured.
    """

    kind: Kind
    free: int
    bytes_per_second: float | None


@dataclass(frozen=True)
class Shape:
    """What is known of a model's size.

    Attributes:
        parameters: their number.
        gguf_bytes: the size of the file, if it is a GGUF file.
        cache_values: elements of a token's keys and values in all layers.
        context: the most tokens.
    """

    parameters: int | None
    gguf_bytes: int | None = None
    cache_values: int | None = None
    context: int = CACHE_TOKENS


@dataclass(frozen=True)
class Fit:
    """How a model would run here; None is what is not known.

    Attributes:
        needs: bytes of memory.
        token_ms: milliseconds of a token.
        obstacle: why it does not fit.
    """

    needs: int | None
    token_ms: float | None
    obstacle: Obstacle | None


def fit(shape: Shape, machine: Machine) -> Fit:
    """How a model of this shape would run on `machine`."""
    weights = _weight_bytes(shape, machine.kind)
    if weights is None:
        return Fit(None, None, None)
    needs = int(PROCESS_BYTES[machine.kind] + weights + _cache_bytes(shape, weights, machine.kind))
    speed = machine.bytes_per_second
    token_ms = None if speed is None else 1000 * weights / speed
    if needs > machine.free:
        return Fit(needs, token_ms, "memory")
    return Fit(needs, token_ms, "speed" if token_ms is not None and token_ms > MAX_TOKEN_MS else None)


def _weight_bytes(shape: Shape, kind: Kind) -> float | None:
    if shape.gguf_bytes is not None and kind == "native":
        return shape.gguf_bytes
    return None if shape.parameters is None else shape.parameters * PARAMETER_BYTES[kind]


def _cache_bytes(shape: Shape, weights: float, kind: Kind) -> float:
    values = weights / PARAMETER_BYTES[kind] * CACHE_SHARE
    if shape.cache_values is not None:
        values = shape.cache_values * min(shape.context, CACHE_TOKENS)
    return values * CACHE_VALUE_BYTES[kind]


def cache_values(config: Mapping[str, Any]) -> int | None:
    """Elements of a token's keys and values in all layers, by a checkpoint's config.json; None if unknown."""

    def number(*names: str) -> int | None:
        return next((config[name] for name in names if isinstance(config.get(name), int)), None)

    layers, width = number("num_hidden_layers", "n_layer"), number("hidden_size", "n_embd")
    heads = number("num_attention_heads", "n_head")
    if layers is None or not width or not heads:
        return None
    kv_heads = 1 if config.get("multi_query") is True else number("num_key_value_heads") or heads
    return 2 * layers * kv_heads * (number("head_dim") or width // heads)


def this_machine() -> Machine:
    """What this process could use, if it gave back what it holds."""
    import psutil  # not on a machine that only trains

    free = int(psutil.virtual_memory().available + psutil.Process().memory_info().rss)
    if (gpu := _gpu_memory()) is not None:
        return Machine("gpu", gpu, None)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Machine("gpu", free, None)
    return Machine("native" if native_problem() is None else "torch", free, read_bandwidth())


@lru_cache(maxsize=1)
def read_bandwidth() -> float:
    """Bytes per second that the CPU reads from memory, measured once: what the fastest read shows."""
    import numpy as np

    started = time.perf_counter()
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    memory = np.full(MEASURED_BYTES, 1, np.uint8).reshape(-1, PIECE_BYTES)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        while best == float("inf") or time.perf_counter() - started < MEASURING_SECONDS:
            for piece in memory:
                begun = time.perf_counter()
                list(pool.map(np.max, np.array_split(piece, threads)))
                best = min(best, time.perf_counter() - begun)
    return PIECE_BYTES / best


def _gpu_memory() -> int | None:
    """Bytes that are free on NVIDIA's GPUs; None without one, or without a torch that can use it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not _torch_has_cuda():
        return None
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        if library.nvmlInit_v2() != 0:
            return None
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        found = sum(_free_on(library, number) for number in range(count.value))
        library.nvmlShutdown()
    except (OSError, AttributeError):
        return None
    return found or None


def _free_on(library: ctypes.CDLL, number: int) -> int:
    handle, memory = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)()  # total, free, used
    if library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) != 0:
        return 0
    return int(memory[1]) if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0 else 0


def _torch_has_cuda() -> bool:
    """Whether the installed torch was built with CUDA; importing it for that would take seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    return any((Path(spec.origin).parent / "lib").glob("*torch_cuda*"))
