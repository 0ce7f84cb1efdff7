"""Where Triton's kernels are tested: compiled on a GPU, or else on the CPU by Triton's interpreter."""

from __future__ import annotations

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def assert_near(found: torch.Tensor, exact: torch.Tensor, roundings: float) -> None:
    """Within so many roundings, in the dtype of `found`, of numbers of about 1."""
    within = roundings * torch.finfo(found.dtype).eps
    torch.testing.assert_close(found.double(), exact.double(), atol=within, rtol=within)
