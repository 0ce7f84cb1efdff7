"""The machine: devices, memory, threads, and how long forward passes take."""

from model_runtime.hardware.device import (
    devices_name,
    free_memory,
    memory_errors,
    needs_torch,
    release_memory,
    resolve_device,
    resolve_dtype,
    resolve_matrix_format,
)
from model_runtime.hardware.latency_model import LatencyModel
from model_runtime.hardware.threads import MIN_PREFILL_ROWS, PREFILL_TRIAL_ROWS, ThreadTuner, cores

__all__ = [
    "MIN_PREFILL_ROWS",
    "PREFILL_TRIAL_ROWS",
    "LatencyModel",
    "ThreadTuner",
    "cores",
    "devices_name",
    "free_memory",
    "memory_errors",
    "needs_torch",
    "release_memory",
    "resolve_device",
    "resolve_dtype",
    "resolve_matrix_format",
]
