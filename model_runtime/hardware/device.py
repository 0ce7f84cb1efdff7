"""Devices and precisions: resolves what the user asks for, and asks a device for its memory.

Devices have torch's names, such as `cuda:0`, but torch is imported only where there may be a GPU.
"""

from __future__ import annotations

import ctypes
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from model_runtime.api import Device, DeviceUnavailable, Dtype, ModelOptions, OutOfMemory
from model_runtime.decoding import MatrixFormat
from model_runtime.native import native_problem

CUDA_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
"""Part of NVIDIA's driver: without it, torch finds no GPU of theirs."""

AMD_DRIVER = Path("/dev/kfd")
"""What ROCm, and so torch, reaches AMD's GPUs through, except on Windows."""


def resolve_device(asked: Device) -> str:
    """The device asked for; for "auto" the fastest available: CUDA, then Apple's GPU, then the CPU.

    Raises:
        DeviceUnavailable: this machine does not have it.
    """
    if asked == "cpu" or (asked == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(name for name, found in available.items() if found)
    if not available[asked]:
        usable = ", ".join(name for name, found in available.items() if found)
        raise DeviceUnavailable(f"device {asked!r} is not available here: use one of {usable}, or auto")
    return asked


def may_have_gpu() -> bool:
    """Whether there may be a GPU that torch can use, which only torch can tell for sure."""
    if sys.platform == "darwin":
        return True
    build = _torch_build()
    if build in (None, "cpu"):
        return False
    return "rocm" in build or AMD_DRIVER.exists() or _has_cuda_driver()


def _torch_build() -> str | None:
    """What torch was built for, such as "cu130", if its version says so; None if it is not installed."""
    from importlib import metadata  # imported here, since it is slow

    try:
        return metadata.version("torch").partition("+")[2]
    except metadata.PackageNotFoundError:
        return None


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return False
    return True


def needs_torch(options: ModelOptions) -> bool:
    """Whether torch is imported to find the device for a model, or to run it."""
    if options.device not in ("cpu", "auto") or (options.device == "auto" and may_have_gpu()):
        return True
    floats = resolve_matrix_format(options, "cpu") in ("float", "stored")
    return floats or resolve_dtype(options.dtype, "cpu") != "fp32" or native_problem() is not None


def resolve_dtype(asked: Dtype, device: str) -> Dtype:
    """The precision asked for; for "auto" fp32 on the CPU, half precision elsewhere."""
    if asked != "auto":
        return asked
    if device == "cpu":
        return "fp32"
    if device == "cuda":
        import torch

        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
    return "fp16"


def resolve_matrix_format(options: ModelOptions, device: str) -> MatrixFormat:
    """The format of matrices, as described in `ModelOptions`; Apple's GPU gains nothing from int8."""
    if options.quantize == "auto":
        if device == "cuda":
            return "stored"
        return "int8" if device == "cpu" and options.dtype == "auto" and native_problem() is None else "float"
    return "float" if options.quantize == "none" else options.quantize


def devices_name(blocks: Sequence[str]) -> str:
    """Describe the devices of a model's blocks: `cuda:0`, or `cuda:0 (20 blocks), cpu (12 blocks)`."""
    counts = Counter(blocks)
    if len(counts) == 1:
        return blocks[0]
    return ", ".join(f"{name} ({count} block{'s'[: count > 1]})" for name, count in counts.items())


def free_memory(device: str) -> int:
    """Bytes of free memory on a device."""
    if device == "cpu":
        return int(psutil.virtual_memory().available)
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()


def release_memory() -> None:
    """Free the memory in torch's caches, which may be in pieces too small to use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn errors for lack of memory, also torch's, into `OutOfMemory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch has an error class for CUDA; the CPU's allocator and MPS raise a bare RuntimeError.
        message = str(error).lower()
        phrases = ("can't allocate memory", "out of memory", "not enough memory")
        if not isinstance(error, MemoryError) and not any(phrase in message for phrase in phrases):
            raise
        raise OutOfMemory(
            "there is not enough memory: use a smaller model, or --dtype bf16, or --device cpu"
        ) from error
