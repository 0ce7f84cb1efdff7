"""Devices, threads, and the latency model of forward passes on this machine."""

from model_runtime.hardware.device import (
    devices_name,
    dtype_name,
    free_memory,
    memory_errors,
    release_memory,
    resolve_device,
    resolve_dtype,
    resolve_matrices,
    synchronize,
)
from model_runtime.hardware.latency_model import Pace
from model_runtime.hardware.threads import FEW_ROWS, PREFILL_ROWS, Threads, cores

__all__ = [
    "FEW_ROWS",
    "PREFILL_ROWS",
    "Pace",
    "Threads",
    "cores",
    "devices_name",
    "dtype_name",
    "free_memory",
    "memory_errors",
    "release_memory",
    "resolve_device",
    "resolve_dtype",
    "resolve_matrices",
    "synchronize",
]
