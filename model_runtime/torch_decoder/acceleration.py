"""Detects what a decoder's devices offer beyond torch's eager operations: Triton kernels and CUDA graphs.

The eager operations are the reference for both, and all that there is on CPUs and Apple's GPUs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch

from model_runtime.torch_decoder.graphs import Capture, CudaCapture

log = logging.getLogger(__name__)

TRITON_CAPABILITY = (8, 0)
"""The least compute capability for the kernels, Ampere's: older GPUs have no bf16."""


@dataclass(frozen=True)
class Acceleration:
    triton: frozenset[str] = frozenset()  # the types of device that Triton compiles for
    capture: Capture | None = None  # records a whole step; for a decoder on one device


def acceleration(devices: Sequence[torch.device], dtype: torch.dtype) -> Acceleration:
    """The acceleration available on a decoder's devices, for activations of `dtype`."""
    gpus = {device for device in devices if device.type == "cuda"}
    if not gpus:
        return Acceleration()
    one_device = len(set(devices)) == 1
    # In fp32 the kernels' tiles exceed registers and shared memory.
    compiled = dtype in (torch.float16, torch.bfloat16) and all(map(_has_triton, gpus))
    return Acceleration(
        triton=frozenset({"cuda"}) if compiled else frozenset(),
        capture=CudaCapture(devices[0]) if one_device else None,
    )


def _has_triton(gpu: torch.device) -> bool:
    # torch comes without Triton on Windows. AMD's GPUs are "cuda" too, but the kernels are untested there.
    installed = find_spec("triton") is not None and torch.version.cuda is not None
    capable = installed and torch.cuda.get_device_capability(gpu) >= TRITON_CAPABILITY
    return capable and works(partial(_multiply, gpu))


def works(attempt: Callable[[], bool]) -> bool:
    """Whether kernels can be compiled, which also takes a C compiler and a writable folder."""
    try:
        return attempt()
    except Exception as error:  # whatever it is, torch can compute without them
        reason = str(error).strip().partition("\n")[0]
        log.warning("Triton's kernels are not used, so steps can be slower: %s", reason)
        return False


def _multiply(gpu: torch.device) -> bool:
    from model_runtime.torch_decoder.triton_projections import TritonProjection

    ones = torch.ones(4, 16, dtype=torch.float16, device=gpu)
    return bool((TritonProjection(ones, None)(ones[:1]) == 16).all())
