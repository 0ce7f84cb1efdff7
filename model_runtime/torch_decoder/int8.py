"""Matrices in int8 with a scale for each row, for GPUs; on a CPU the native engine has groups instead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.torch_decoder.layers import Linear, Projection

BLOCK_ELEMENTS = 1 << 18
"""Elements of a weight that are quantised at a time, so that intermediates stay in the CPU's cache."""


@dataclass(frozen=True)
class Int8Weight:
    """A matrix in int8 with a scale for each row, a quarter of its size in fp32."""

    values: Tensor  # (out, in), int8
    scale: Tensor  # (out,), fp32

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    def numel(self) -> int:
        """The number of elements."""
        return self.values.numel()

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        """(out, in) in floating point."""
        return (self.values.float() * self.scale[:, None]).to(dtype)

    def rows(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """The rows `ids` in floating point, (length, in): an embedding's look-up."""
        return (self.values[ids].float() * self.scale[ids, None]).to(dtype)


def quantize(weight: Tensor) -> Int8Weight:
    """Quantise each row of (out, in) symmetrically: its largest magnitude becomes 127."""
    values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(len(weight), device=weight.device)
    step = max(1, BLOCK_ELEMENTS // weight.shape[1])
    for block, into, scales in zip(
        *(torch.split(each, step) for each in (weight, values, scale)), strict=True
    ):
        scales.copy_(block.abs().amax(dim=1)).div_(127)
        safe = torch.where(scales > 0, scales, 1.0)
        into.copy_((block / safe[:, None]).round_().clamp_(-127, 127))
    return Int8Weight(values, scale)


def int8_linear(weight: Int8Weight, bias: Tensor | None, dtype: torch.dtype) -> Projection:
    """The projection with an int8 weight on its device.

    A CPU dequantises the weight once, here; other devices dequantise it for each product, since they hold it
    in int8 to save memory.

    Args:
        weight: (out, in).
        bias: (out,), if any.
        dtype: of activations and bias.
    """
    if weight.device.type != "cpu":
        return reference(weight, bias)
    return Linear(weight.dequantized(dtype), bias)


def reference(weight: Int8Weight, bias: Tensor | None) -> Projection:
    """The projection with the weight dequantised for each product."""
    return lambda x: F.linear(x, weight.dequantized(x.dtype), bias)
