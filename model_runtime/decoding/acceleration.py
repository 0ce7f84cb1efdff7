"""What a decoder's devices have beyond torch's eager operations: Triton's kernels, and CUDA graphs.

Asked once, when a decoder is built. The eager operations are the reference for both, and all that there is
on CPUs and on Apple's GPUs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch

from model_runtime.decoding.graphs import Capture, CudaCapture

log = logging.getLogger(__name__)

TRITON_CAPABILITY = (8, 0)
"""The least compute capability, Ampere's, on which the kernels are used: below, there is no bf16."""


@dataclass(frozen=True)
class Acceleration:
    triton: frozenset[str] = frozenset()  # the types of device that Triton compiles for
    capture: Capture | None = None  # records a whole step; for a decoder on one device


def acceleration(devices: Sequence[torch.device], dtype: torch.dtype) -> Acceleration:
    """What there is on the devices of a decoder's parts, for activations of `dtype`."""
    gpus = {device for device in devices if device.type == "cuda"}
    if not gpus:
        return Acceleration()
    alone = len(set(devices)) == 1
    # In fp32 the kernels' tiles take more registers and shared memory than there are.
    compiled = dtype in (torch.float16, torch.bfloat16) and all(map(_has_triton, gpus))
    return Acceleration(
        triton=frozenset({"cuda"}) if compiled else frozenset(),
        capture=CudaCapture(devices[0]) if alone else None,
    )


def _has_triton(gpu: torch.device) -> bool:
    # Windows' torch comes without Triton; AMD's GPUs answer to "cuda" too, and the kernels are untried there.
    there = find_spec("triton") is not None and torch.version.cuda is not None
    able = there and torch.cuda.get_device_capability(gpu) >= TRITON_CAPABILITY
    return able and works(partial(_multiply, gpu))


def works(attempt: Callable[[], bool]) -> bool:
    """Whether kernels can be compiled: beside the package that takes a C compiler, and a place for files."""
    try:
        return attempt()
    except Exception as error:  # whatever it is, there is torch's own way
        reason = str(error).strip().partition("\n")[0]
        log.warning("Triton's kernels are not used, so steps can be slower: %s", reason)
        return False


def _multiply(gpu: torch.device) -> bool:
    from model_runtime.decoding.triton_products import TritonProduct

    ones = torch.ones(4, 16, dtype=torch.float16, device=gpu)
    return bool((TritonProduct(ones, None)(ones[:1]) == 16).all())
