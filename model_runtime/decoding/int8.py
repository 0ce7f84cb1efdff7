"""Matrices in int8 with a scale for each row, and projections with them.

On a CPU the kernel is fbgemm's, which takes int8 activations too. torch's own interface to it
(`quantized.linear_dynamic`) has one scale for all rows of a call: a token's result then depends on the
others, and one outlier spoils them all. Here each row has its own scale, so that its product is the same bit
by bit in any company. `reference` is what every kernel is tested against.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding.layers import Linear, Projection

MatrixFormat = Literal["float", "stored", "int8"]
"""The format of a decoder's matrices: the activations' dtype, as in the checkpoint, or int8."""

BLOCK_ELEMENTS = 1 << 18
"""Elements of a weight that are quantised at a time, so that intermediates stay in the CPU's cache."""

KERNEL_OP = "linear_with_input_q_dq_qweight_dq_output_fp32"
"""Quantises fp32 activations with a given scale and zero point, and dequantises the product."""

LEVELS = 63
"""The int8 value of the largest magnitude in a row of activations. It uses 7 of 8 bits: the kernel adds two
products of an unsigned and a signed byte in 16 bits, where 2 · (2 · 63 + 1) · 127 still fits."""

MAX_ROUNDING_ERROR = 0.026
"""The largest relative error by which rounding activations may change a product. Normally distributed ones
cause half of it, after a GELU nearly all. With 0.03 the default model's loss would rise by twice as much."""


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


@dataclass(frozen=True)
class PackedWeight:
    """An `Int8Weight` in the layout of the CPU's kernel, which can only be multiplied with."""

    content: torch.ScriptObject
    shape: torch.Size
    nbytes: int

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def numel(self) -> int:
        """The number of elements."""
        return self.shape.numel()


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


def int8_linear(weight: Int8Weight | PackedWeight, bias: Tensor | None, dtype: torch.dtype) -> Projection:
    """The fastest projection with an int8 weight on its device.

    A CPU without the kernel, or with activations that it does not take, dequantises the weight once, here;
    other devices dequantise it for each product, since they hold it in int8 to save memory.

    Args:
        weight: (out, in).
        bias: (out,), if any.
        dtype: of activations and bias.
    """
    weight = pack(weight, dtype) if isinstance(weight, Int8Weight) else weight
    if isinstance(weight, PackedWeight):
        return RowwiseInt8Projection(weight, bias)
    if weight.device.type != "cpu":
        return reference(weight, bias)
    return Linear(weight.dequantized(dtype), bias)


def reference(weight: Int8Weight, bias: Tensor | None) -> Projection:
    """The projection with the weight dequantised for each product."""
    return lambda x: F.linear(x, weight.dequantized(x.dtype), bias)


def has_int8_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the device has the int8 kernel for activations of `dtype`, which is faster than weights in it.

    Only x86 has: on ARM torch's kernel, `qnnpack`, does not return floats.
    """
    ready = torch.backends.quantized.engine in ("x86", "fbgemm") and hasattr(torch.ops.quantized, KERNEL_OP)
    return device.type == "cpu" and dtype == torch.float32 and ready


class RowwiseInt8Projection:
    """fbgemm's product of int8 weights with int8 activations, each row of which has its own scale.

    Rounding changes an activation by at most 1/126 of its row's largest magnitude. Where a few channels tower
    over all others, as in some models (Dettmers et al. 2022, arXiv:2208.07339), that is too much, and a
    second pass multiplies the rounding errors of the first. The first call decides which, from its
    activations.
    """

    def __init__(self, weight: PackedWeight, bias: Tensor | None) -> None:
        self._weight, self._bias = weight.content, bias
        self._kernel = getattr(torch.ops.quantized, KERNEL_OP).default
        self._passes = 0  # not decided yet

    def __call__(self, x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=-1, keepdim=True)  # (length, 1)
        # A row of zeros becomes 0 / 0; whatever the kernel makes of that is multiplied by 0.
        scaled = x / largest
        self._passes = self._passes or self._passes_for(scaled)
        product = self._one_pass(scaled) if self._passes == 1 else self._two_passes(scaled)
        if self._bias is None:
            return product.mul_(largest)
        return torch.addcmul(self._bias, product, largest)

    def _one_pass(self, x: Tensor) -> Tensor:
        """The product without bias; `x` is within ±1."""
        product: Tensor = self._kernel(x, 1 / LEVELS, LEVELS + 1, self._weight)
        return product

    def _two_passes(self, x: Tensor) -> Tensor:
        coarse = (x * LEVELS).round_().div_(LEVELS)
        fine = (x - coarse).mul_(2 * LEVELS)  # within ±1 again
        product, rest = self._one_pass(torch.cat((coarse, fine))).chunk(2)
        return product.add_(rest, alpha=1 / (2 * LEVELS))

    def _passes_for(self, x: Tensor) -> int:
        """The number of passes that rows like these need."""
        exact = self._two_passes(x)
        errors = (self._one_pass(x) - exact).norm(dim=1) / exact.norm(dim=1)
        return 2 if errors.nanmedian() > MAX_ROUNDING_ERROR else 1


def pack(weight: Int8Weight, dtype: torch.dtype) -> Int8Weight | PackedWeight:
    """A copy in the kernel's layout; the weight itself if there is no kernel for activations of `dtype`."""
    if not has_int8_kernel(weight.device, dtype):
        return weight
    scale = weight.scale.double()
    with warnings.catch_warnings():
        # torch is going to remove tensors of quantised dtypes; `has_int8_kernel` checks whether it has.
        message = ".*quantized tensor creation functions"
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
        tensor = torch._make_per_channel_quantized_tensor(
            weight.values, scale, torch.zeros(len(scale), dtype=torch.int64), 0
        )
    return PackedWeight(torch.ops.quantized.linear_prepack(tensor, None), weight.shape, weight.nbytes)
