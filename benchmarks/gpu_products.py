"""The matrix products of a step: the memory bandwidth that each of them reaches, with torch and with Triton.

Launches are recorded in a graph, and weights are used in turn, so that neither Python nor the GPU's cache
influences the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from benchmarks.gpu_models import Size
from model_runtime.torch_decoder import Int8Weight, quantize
from model_runtime.torch_decoder.graphs import CudaCapture

MATRICES = {
    "16B qkv": (18432, 6144),
    "16B out": (6144, 6144),
    "16B up": (24576, 6144),
    "16B down": (6144, 24576),
    "1B up": (8192, 2048),
    "1B down": (2048, 8192),
}
"""(out, in) of CodeGen-16B's and StarCoderBase-1B's matrices."""

SHRUNK: dict[Size, int] = {"real": 1, "toy": 128, "interpreted": 1024}
"""What their sides are divided by."""

ROTATED = 400 * 2**20
"""Bytes of weights that are read before the first is used again: more than any cache holds."""

SIZES = ((16, 256, 2), (16, 512, 4), (32, 128, 4), (32, 256, 4), (64, 128, 4), (64, 256, 4))
"""Candidates for `few_rows_sizes`: rows of the weight, elements at a time, warps."""

Weight = Tensor | Int8Weight
Product = Callable[[Tensor], Tensor]


class Timer:
    """Measures work on a device without the time of launches."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._capture = CudaCapture(device) if device.type == "cuda" else None

    @torch.inference_mode()
    def seconds(self, run: Callable[[], None]) -> float:
        """The time of `run`; on a GPU the median of nine."""
        if self._capture is None:
            begun = time.perf_counter()
            run()
            return time.perf_counter() - begun
        replay = self._capture(run)
        replay()
        found: list[float] = []
        for _ in range(9):
            start, end = _event(), _event()
            start.record()
            replay()
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) / 1e3)
        return sorted(found)[4]


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def product_lines(
    device: torch.device, dtype: torch.dtype, size: Size, kernels: bool
) -> Iterator[tuple[str, float, float]]:
    """Description, bytes of weights a second and relative error of each product at each number of rows."""
    timer = Timer(device)
    for name in MATRICES:
        for kind, weights in _weights(name, device, dtype, size, kernels):
            products = [_product(kind, weight) for weight in weights]
            for rows in (1, 2, 4, 8, 16):
                x = torch.randn(rows, weights[0].shape[1], device=device).to(dtype)
                expected = x.double() @ _exact(weights[0]).double().T
                error = float((products[0](x).double() - expected).norm() / expected.norm())
                yield f"{name}, {kind}, {rows} rows", _rate(timer, products, weights[0], x), error


def size_lines(device: torch.device, dtype: torch.dtype, size: Size) -> Iterator[tuple[str, float]]:
    """Bytes of weights a second with other block sizes of the kernels."""
    from model_runtime.torch_decoder import triton_projections as kernels

    timer = Timer(device)
    for name in ("16B up", "16B down", "1B up"):
        for kind, weights in _weights(name, device, dtype, size, kernels=True):
            if kind == "torch":
                continue
            products = [_product(kind, weight) for weight in weights]
            rows = torch.randn(4, weights[0].shape[1], device=device).to(dtype)
            for warps in (1, 2, 4, 8):
                with mock.patch.object(kernels, "one_row_warps", return_value=warps):
                    rate = _rate(timer, products, weights[0], rows[:1])
                yield f"{name}, {kind}, 1 row, {warps} warps", rate
            for sizes in SIZES:
                with mock.patch.object(kernels, "few_rows_sizes", return_value=sizes):
                    rate = _rate(timer, products, weights[0], rows)
                yield f"{name}, {kind}, 4 rows, {sizes}", rate


def _rate(timer: Timer, products: Sequence[Product], weight: Weight, x: Tensor) -> float:
    """Bytes of weights a second."""

    def run() -> None:
        for product in products:
            product(x)

    return _bytes(weight) * len(products) / timer.seconds(run)


def _weights(
    name: str, device: torch.device, dtype: torch.dtype, size: Size, kernels: bool
) -> Iterator[tuple[str, list[Weight]]]:
    outs, ins = (side // SHRUNK[size] for side in MATRICES[name])
    number = max(2, ROTATED // (outs * ins * dtype.itemsize)) if size == "real" else 2
    floats = [torch.randn(outs, ins, device=device).to(dtype) / ins**0.5 for _ in range(number)]
    yield "torch", list(floats)
    if kernels:
        yield "Triton", list(floats)
        yield "Triton int8", [quantize(weight) for weight in [*floats, *floats]]


def _product(kind: str, weight: Weight) -> Product:
    if kind == "torch":
        assert isinstance(weight, Tensor)
        return lambda x: F.linear(x, weight)
    from model_runtime.torch_decoder.triton_projections import TritonProjection

    return TritonProjection(weight, None)


def _exact(weight: Weight) -> Tensor:
    return weight.dequantized(torch.float32) if isinstance(weight, Int8Weight) else weight


def _bytes(weight: Weight) -> int:
    return weight.values.nbytes if isinstance(weight, Int8Weight) else weight.nbytes
