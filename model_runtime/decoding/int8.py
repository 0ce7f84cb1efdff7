"""Weights as int8 with a scale for each row, and the products on them: the seam for faster kernels.

Between the decoder and a weight. `reference` restores the weight and is what every kernel is held to.

On a CPU the kernel is fbgemm's, which takes int8 activations too. torch's own way to them
(`quantized.linear_dynamic`) finds one range for all rows of a call: a token's result then depends on which
others are computed with it, and one outlier spoils them all. Here each row has its own range: its product is
the same bit by bit in whatever pieces a prompt is computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

Product = Callable[[Tensor], Tensor]

Matrices = Literal["restored", "stored", "int8"]
"""How a checkpoint's matrices are kept: in the activations' dtype, as they are stored, or all in int8."""

BLOCK = 1 << 18
"""Elements of a weight that are quantised at a time: what is in between stays in the CPU's cache."""

KERNEL = "linear_with_input_q_dq_qweight_dq_output_fp32"
"""Activations in fp32 are quantised with a given scale and zero point, and the product's sums restored."""

LEVELS = 63
"""The largest magnitude in a row of activations becomes this many steps. That is 7 bits of 8: the kernel adds
two products of an unsigned and a signed byte in 16 bits, and 2 · (2 · 63 + 1) · 127 still fits."""

TOLERATED = 0.026
"""How far rounding activations may move a product, as a share of it: with normal draws it is half of that,
behind a GELU of them nearly all. With 0.03 the default model's loss would rise by twice as much."""


@dataclass(frozen=True)
class Int8Weight:
    """A matrix in int8 whose rows are to be multiplied by their scales: a quarter of its size in fp32."""

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
        """How many elements the matrix has."""
        return self.values.numel()

    def restored(self, dtype: torch.dtype) -> Tensor:
        """(out, in) in floating point."""
        return (self.values.float() * self.scale[:, None]).to(dtype)

    def rows(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """The rows `ids`, (length, in), in floating point: an embedding's look-up."""
        return (self.values[ids].float() * self.scale[ids, None]).to(dtype)


@dataclass(frozen=True)
class PackedWeight:
    """An `Int8Weight` in the layout of a CPU's kernel: only products are to be had of it."""

    content: torch.ScriptObject
    shape: torch.Size
    nbytes: int

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def numel(self) -> int:
        """How many elements the matrix has."""
        return self.shape.numel()


def quantize(weight: Tensor) -> Int8Weight:
    """Each row of (out, in) in int8, symmetric: its largest magnitude becomes 127."""
    values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(len(weight), device=weight.device)
    step = max(1, BLOCK // weight.shape[1])
    for block, into, scales in zip(
        *(torch.split(each, step) for each in (weight, values, scale)), strict=True
    ):
        scales.copy_(block.abs().amax(dim=1)).div_(127)
        safe = torch.where(scales > 0, scales, 1.0)
        into.copy_((block / safe[:, None]).round_().clamp_(-127, 127))
    return Int8Weight(values, scale)


def int8_linear(weight: Int8Weight | PackedWeight, bias: Tensor | None, dtype: torch.dtype) -> Product:
    """The quickest product with `weight` that its device has: (length, in) → (length, out), a new tensor.

    A CPU without the kernel, or with activations that it does not take, multiplies by a weight that is
    restored once, here; other devices restore it for each product, since they hold it in int8 to save memory.

    Args:
        weight: what is multiplied by.
        bias: (out,), what is added.
        dtype: of activations and bias.
    """
    weight = packed(weight, dtype) if isinstance(weight, Int8Weight) else weight
    if isinstance(weight, PackedWeight):
        return RowwiseProduct(weight, bias)
    if weight.device.type != "cpu":
        return reference(weight, bias)
    restored = weight.restored(dtype)
    return lambda x: F.linear(x, restored, bias)


def reference(weight: Int8Weight, bias: Tensor | None) -> Product:
    """The product with the restored weight."""
    return lambda x: F.linear(x, weight.restored(x.dtype), bias)


def has_int8_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether products on int8 weights are quicker there than on weights of `dtype`.

    The kernel is x86's; torch has it on ARM under another name, `qnnpack`, where it gives no floats.
    """
    ready = torch.backends.quantized.engine in ("x86", "fbgemm") and hasattr(torch.ops.quantized, KERNEL)
    return device.type == "cpu" and dtype == torch.float32 and ready


class RowwiseProduct:
    """fbgemm's product of int8 weights with activations in int8, where each row of these has its own scale.

    An element of the activations is off by at most 1/126 of its row's largest magnitude. In some models a few
    channels tower over all others (Dettmers et al. 2022, arXiv:2208.07339), for which that is too much; there
    a second pass multiplies what the first one rounded off. Which it is, is settled by the first call, on the
    rows that it is given.
    """

    def __init__(self, weight: PackedWeight, bias: Tensor | None) -> None:
        self._weight, self._bias = weight.content, bias
        self._kernel = getattr(torch.ops.quantized, KERNEL).default
        self._passes = 0  # not settled yet

    def __call__(self, x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=-1, keepdim=True)  # (length, 1)
        # A row of zeros becomes 0 / 0. Whatever number the kernel takes that for, it is multiplied by 0.
        scaled = x / largest
        self._passes = self._passes or self._passes_for(scaled)
        product = self._one_pass(scaled) if self._passes == 1 else self._two_passes(scaled)
        if self._bias is None:
            return product.mul_(largest)
        return torch.addcmul(self._bias, product, largest)

    def _one_pass(self, x: Tensor) -> Tensor:
        """The product, without bias, with `x` within ±1."""
        product: Tensor = self._kernel(x, 1 / LEVELS, LEVELS + 1, self._weight)
        return product

    def _two_passes(self, x: Tensor) -> Tensor:
        coarse = (x * LEVELS).round_().div_(LEVELS)
        fine = (x - coarse).mul_(2 * LEVELS)  # within ±1 again
        product, rest = self._one_pass(torch.cat((coarse, fine))).chunk(2)
        return product.add_(rest, alpha=1 / (2 * LEVELS))

    def _passes_for(self, x: Tensor) -> int:
        """How many are enough for rows like these."""
        exact = self._two_passes(x)
        errors = (self._one_pass(x) - exact).norm(dim=1) / exact.norm(dim=1)
        return 2 if errors.nanmedian() > TOLERATED else 1


def packed(weight: Int8Weight, dtype: torch.dtype) -> Int8Weight | PackedWeight:
    """A copy in the layout that products with activations of `dtype` want; itself where there is none."""
    if not has_int8_kernel(weight.device, dtype):
        return weight
    scale = weight.scale.double()
    with warnings.catch_warnings():
        # torch means to drop tensors of quantised dtypes; `has_int8_kernel` asks whether it has.
        message = ".*quantized tensor creation functions"
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
        tensor = torch._make_per_channel_quantized_tensor(
            weight.values, scale, torch.zeros(len(scale), dtype=torch.int64), 0
        )
    return PackedWeight(torch.ops.quantized.linear_prepack(tensor, None), weight.shape, weight.nbytes)
