"""Where the model runs and in which precision: what the user asks for against what the machine has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil
import torch

from model_runtime.api import Device, DeviceUnavailable, Dtype, ModelOptions, OutOfMemory
from model_runtime.decoding import Matrices, has_int8_kernel

DTYPES: Mapping[Dtype, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def resolve_device(asked: Device) -> torch.device:
    """The device asked for; for "auto" the quickest that is there: CUDA, then Apple's GPU, then the CPU.

    Raises:
        DeviceUnavailable: it is not on this machine.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[asked]:
        found = ", ".join(name for name, available in there.items() if available)
        raise DeviceUnavailable(f"device {asked!r} is not available here: use one of {found}, or auto")
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


def resolve_matrices(options: ModelOptions, device: torch.device) -> Matrices:
    """Whether matrices are int8, as `ModelOptions` says; on Apple's GPU, which gains nothing, when asked."""
    if options.quantize != "auto":
        return "int8" if options.quantize == "int8" else "restored"
    if device.type == "cuda":
        return "stored"
    quicker = has_int8_kernel(device, resolve_dtype(options.dtype, device))
    return "int8" if options.dtype == "auto" and quicker else "restored"


def dtype_name(dtype: torch.dtype) -> Dtype:
    """The user's word for a dtype."""
    return next(name for name, candidate in DTYPES.items() if candidate == dtype)


def devices_name(blocks: Sequence[torch.device]) -> str:
    """Where a model is, from the device of each block: `cuda:0`, or `cuda:0 (20 blocks), cpu (12 blocks)`."""
    counts = Counter(map(str, blocks))
    if len(counts) == 1:
        return str(blocks[0])
    return ", ".join(f"{name} ({count} block{'s'[: count > 1]})" for name, count in counts.items())


def free_memory(device: torch.device) -> int:
    """The bytes that can still be had on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(psutil.virtual_memory().available)


def release_memory() -> None:
    """Give back what torch keeps for later, so that it can be had in larger pieces."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's ways of saying that memory is short into `OutOfMemory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # CUDA has a class of its own; the CPU's allocator and MPS raise a bare RuntimeError.
        said = str(error).lower()
        short = "can't allocate memory" in said or "out of memory" in said or "not enough memory" in said
        if not (short or isinstance(error, torch.OutOfMemoryError | MemoryError)):
            raise
        raise OutOfMemory(
            "there is not enough memory: use a smaller model, or --dtype bf16, or --device cpu"
        ) from error
