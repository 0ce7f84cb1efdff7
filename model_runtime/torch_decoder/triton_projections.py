"""Projections of a few rows on a GPU, as Triton kernels limited only by reading the weight.

They replace `layers.Linear` and `int8.reference`. int8 weights are converted in registers; bias, activation
and residual are part of the kernel, which saves a launch each. A single row is summed along the weight's
rows, several rows are a product of the matrix units, padded to 16, 32 or 64. More rows are limited by
arithmetic: an int8 weight is dequantised, and torch does the rest.

The sizes below are from compiled code, not yet from a GPU: loads are 16 bytes wide, no register spills, and
some 3 MB are in flight, as a memory of 4 TB/s needs. `benchmarks/gpu.py` measures them.
"""

# Triton compiles the kernels, so Python's rules do not apply: constants are upper-case by Triton's
# convention.
# ruff: noqa: N803, RET505, SIM300
# mypy: disable-error-code="untyped-decorator, no-untyped-def"

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
import triton
import triton.language as tl
from torch import Tensor

from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder.int8 import Int8Weight
from model_runtime.torch_decoder.layers import activation

MAX_ROWS_INT8, MAX_ROWS_FLOAT = 64, 16
"""The most rows that the kernels are used for; for torch an int8 weight has to be dequantised first."""

WEIGHT_ROWS = 4
"""Rows of the weight that a program of `_one_row` sums together, which reads the input once for all."""


class TritonProjection:
    """The product with a weight: (length, in) to (length, out).

    Args:
        weight: (out, in), in int8 or in the activations' dtype, contiguous.
        bias: (out,), if any.
        config: of the decoder whose activation is applied to the product; None for no activation.
    """

    def __init__(
        self, weight: Tensor | Int8Weight, bias: Tensor | None, config: DecoderConfig | None = None
    ) -> None:
        self._weight, self._bias = weight, bias
        self._values = weight.values if isinstance(weight, Int8Weight) else weight
        self._scale = weight.scale if isinstance(weight, Int8Weight) else None
        self._max_rows = MAX_ROWS_INT8 if isinstance(weight, Int8Weight) else MAX_ROWS_FLOAT
        self._kind = config.activation if config else "none"
        self._activation = activation(config) if config else None

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The product, plus `residual`, (length, out), if given: a new tensor."""
        if len(x) > self._max_rows:
            return self._many_rows(x, residual)
        # Triton launches on the current device, wherever the tensors are.
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            return self._launch(x.contiguous(), residual)

    def _launch(self, x: Tensor, residual: Tensor | None) -> Tensor:
        out = torch.empty(len(x), len(self._values), dtype=x.dtype, device=x.device)
        outs, ins = self._values.shape
        size = self._values.element_size()
        epilogue = {
            "SCALED": self._scale is not None, "BIASED": self._bias is not None, "ADDED": residual is not
            None, "KIND": self._kind,
        }  # fmt: skip
        # Unused pointers must be valid all the same.
        parts = (
            x,
            self._values,
            *(out if part is None else part for part in (self._scale, self._bias, residual)),
        )
        if len(x) == 1:
            warps = one_row_warps(outs)
            block = 512 // size * warps  # 16 bytes for each thread
            _one_row[(triton.cdiv(outs, WEIGHT_ROWS),)](
                *parts, out, outs, ins, **epilogue, BLOCK=block, num_warps=warps, num_stages=1
            )
        else:
            length = max(16, triton.next_power_of_2(len(x)))
            columns, block, warps = few_rows_sizes(outs, length, size)
            _few_rows[(triton.cdiv(outs, columns),)](
                *parts, out, len(x), outs, ins, **epilogue,
                LENGTH=length, COLUMNS=columns, BLOCK=block, num_warps=warps, num_stages=4,
            )  # fmt: skip
        return out

    def _many_rows(self, x: Tensor, residual: Tensor | None) -> Tensor:
        weight = self._weight
        if isinstance(weight, Int8Weight):
            dequantized = torch.empty(weight.shape, dtype=x.dtype, device=x.device)
            # With `out` in one pass: there is no fp32 copy in memory.
            weight = torch.mul(weight.values, weight.scale[:, None], out=dequantized)
        product = F.linear(x, weight, self._bias)
        if self._activation is not None:
            product = self._activation(product)
        return product if residual is None else product.add_(residual)


def one_row_warps(outs: int) -> int:
    """Warps in a program of `_one_row`: more of them where there are fewer rows, to fill the GPU."""
    return 1 if outs >= 16384 else 2 if outs >= 4096 else 4


def few_rows_sizes(outs: int, length: int, size: int) -> tuple[int, int, int]:
    """For a program of `_few_rows`: rows of the weight, elements of each read at a time, and warps.

    Three reads are in flight, in at most 72 KiB of shared memory; every GPU with bf16 has 99.

    Args:
        outs: rows of the weight.
        length: rows of the input, padded.
        size: bytes of an element of the weight.
    """
    columns = 64 if outs >= 16384 else 32 if outs >= 4096 else 16
    block = 4096 // (length * size)
    return columns, block, 2 if columns == 16 else 4


@triton.jit
def _one_row(
    x, values, scale, bias, residual, out,
    outs, ins: tl.constexpr,
    SCALED: tl.constexpr, BIASED: tl.constexpr, ADDED: tl.constexpr, KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    # The four rows are written out: with a tensor of four rows, the input would change its layout, through
    # shared memory, in every iteration.
    first = tl.program_id(0) * 4
    last = outs - 1
    row0 = values + tl.minimum(first, last).to(tl.int64) * ins
    row1 = values + tl.minimum(first + 1, last).to(tl.int64) * ins
    row2 = values + tl.minimum(first + 2, last).to(tl.int64) * ins
    row3 = values + tl.minimum(first + 3, last).to(tl.int64) * ins
    sum0 = tl.zeros((BLOCK,), tl.float32)
    sum1 = tl.zeros((BLOCK,), tl.float32)
    sum2 = tl.zeros((BLOCK,), tl.float32)
    sum3 = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, ins, BLOCK):
        at = start + tl.arange(0, BLOCK)
        valid = at < ins
        entry = tl.load(x + at, mask=valid, other=0.0).to(tl.float32)
        some0 = tl.load(row0 + at, mask=valid, other=0, eviction_policy="evict_first")
        some1 = tl.load(row1 + at, mask=valid, other=0, eviction_policy="evict_first")
        some2 = tl.load(row2 + at, mask=valid, other=0, eviction_policy="evict_first")
        some3 = tl.load(row3 + at, mask=valid, other=0, eviction_policy="evict_first")
        sum0 += _as_float(some0, SCALED) * entry
        sum1 += _as_float(some1, SCALED) * entry
        sum2 += _as_float(some2, SCALED) * entry
        sum3 += _as_float(some3, SCALED) * entry
    _finish(tl.sum(sum0, 0), first, first < outs, scale, bias, residual, out, SCALED, BIASED, ADDED, KIND)
    _finish(
        tl.sum(sum1, 0), first + 1, first + 1 < outs, scale, bias, residual, out, SCALED, BIASED, ADDED, KIND
    )
    _finish(
        tl.sum(sum2, 0), first + 2, first + 2 < outs, scale, bias, residual, out, SCALED, BIASED, ADDED, KIND
    )
    _finish(
        tl.sum(sum3, 0), first + 3, first + 3 < outs, scale, bias, residual, out, SCALED, BIASED, ADDED, KIND
    )


@triton.jit
def _few_rows(
    x, values, scale, bias, residual, out,
    length, outs, ins: tl.constexpr,
    SCALED: tl.constexpr, BIASED: tl.constexpr, ADDED: tl.constexpr, KIND: tl.constexpr,
    LENGTH: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.arange(0, LENGTH)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.minimum(column, outs - 1).to(tl.int64) * ins
    product = tl.zeros((LENGTH, COLUMNS), tl.float32)
    for start in range(0, ins, BLOCK):
        at = start + tl.arange(0, BLOCK)
        valid = at < ins
        entries = tl.load(
            x + token[:, None] * ins + at[None, :], mask=(token < length)[:, None] & valid[None, :], other=0.0
        )
        some = tl.load(values + row[:, None] + at[None, :], mask=valid[None, :], other=0)
        product = tl.dot(entries, tl.trans(_converted(some, entries.dtype)), product, input_precision="ieee")
    place = token[:, None] * outs + column[None, :]
    inside = (token < length)[:, None] & (column < outs)[None, :]
    if SCALED:
        product *= tl.load(scale + column, mask=column < outs, other=0.0)[None, :]
    if BIASED:
        product += tl.load(bias + column, mask=column < outs, other=0.0).to(tl.float32)[None, :]
    product = _apply_activation(product, KIND)
    if ADDED:
        product += tl.load(residual + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, product.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _as_float(some, ONE_BYTE: tl.constexpr):
    if ONE_BYTE:
        # Added to 1.5 · 2**23, an integer is the mantissa's last bits. Conversion instructions would do the
        # same, but are too slow to keep up with the memory.
        return (some.to(tl.int32) + 0x4B400000).to(tl.float32, bitcast=True) - 12582912.0
    else:
        return some.to(tl.float32)


@triton.jit
def _converted(some, DTYPE: tl.constexpr):
    if DTYPE == tl.float16 and some.dtype == tl.int8:
        return (some.to(tl.int16) + 0x6600).to(tl.float16, bitcast=True) - 1536.0  # as above: 1.5 · 2**10
    else:
        return some.to(DTYPE)  # for bf16 the compiler does likewise


@triton.jit
def _finish(
    product, column, valid, scale, bias, residual, out,
    SCALED: tl.constexpr, BIASED: tl.constexpr, ADDED: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    if SCALED:
        product *= tl.load(scale + column, mask=valid, other=0.0)
    if BIASED:
        product += tl.load(bias + column, mask=valid, other=0.0).to(tl.float32)
    product = _apply_activation(product, KIND)
    if ADDED:
        product += tl.load(residual + column, mask=valid, other=0.0).to(tl.float32)
    tl.store(out + column, product.to(out.dtype.element_ty), mask=valid)


@triton.jit
def _apply_activation(x, KIND: tl.constexpr):
    if KIND == "gelu_tanh":
        return x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif KIND == "gelu":
        return 0.5 * x * (1.0 + tl.erf(0.7071067811865476 * x))
    elif KIND == "relu":
        return tl.maximum(x, 0.0)
    elif KIND == "silu":
        return x * tl.sigmoid(x)
    else:
        return x
