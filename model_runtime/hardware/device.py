"""Devices and precisions: resolves what the user asks for, and asks a device for its memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil
import torch

from model_runtime.api import Device, DeviceUnavailable, Dtype, ModelOptions, OutOfMemory
from model_runtime.decoding import MatrixFormat
from model_runtime.native import native_problem

DTYPES: Mapping[Dtype, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def resolve_device(asked: Device) -> torch.device:
    """The device asked for; for "auto" the fastest available: CUDA, then Apple's GPU, then the CPU.

    Raises:
        DeviceUnavailable: this machine does not have it.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return torch.device(next(name for name, found in available.items() if found))
    if not available[asked]:
        usable = ", ".join(name for name, found in available.items() if found)
        raise DeviceUnavailable(f"device {asked!r} is not available here: use one of {usable}, or auto")
    return torch.device(asked)


def resolve_dtype(asked: Dtype, device: torch.device) -> torch.dtype:
    """The precision asked for; for "auto" fp32 on the CPU, half precision elsewhere."""
    if asked != "auto":
        return DTYPES[asked]
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def resolve_matrix_format(options: ModelOptions, device: torch.device) -> MatrixFormat:
    """The format of matrices, as described in `ModelOptions`; Apple's GPU gains nothing from int8."""
    if options.quantize == "auto":
        if device.type == "cuda":
            return "stored"
        return (
            "int8"
            if device.type == "cpu" and options.dtype == "auto" and native_problem() is None
            else "float"
        )
    return "float" if options.quantize == "none" else options.quantize


def dtype_name(dtype: torch.dtype) -> Dtype:
    """The name of a dtype on the command line and in settings."""
    return next(name for name, candidate in DTYPES.items() if candidate == dtype)


def devices_name(blocks: Sequence[torch.device]) -> str:
    """Describe the devices of a model's blocks: `cuda:0`, or `cuda:0 (20 blocks), cpu (12 blocks)`."""
    counts = Counter(map(str, blocks))
    if len(counts) == 1:
        return str(blocks[0])
    return ", ".join(f"{name} ({count} block{'s'[: count > 1]})" for name, count in counts.items())


def free_memory(device: torch.device) -> int:
    """Bytes of free memory on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(psutil.virtual_memory().available)


def release_memory() -> None:
    """Free the memory in torch's caches, which may be in pieces too small to use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's out-of-memory errors into `OutOfMemory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # CUDA has an error class for it; the CPU's allocator and MPS raise a bare RuntimeError.
        message = str(error).lower()
        phrases = ("can't allocate memory", "out of memory", "not enough memory")
        out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not out_of_memory and not any(phrase in message for phrase in phrases):
            raise
        raise OutOfMemory(
            "there is not enough memory: use a smaller model, or --dtype bf16, or --device cpu"
        ) from error
