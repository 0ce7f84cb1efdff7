"""The layers of a block, each from (length, in) to (length, out)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding import Activation, DecoderConfig

GELU_SLOPE, GELU_CUBE = 2 * math.sqrt(2 / math.pi), 0.044715
"""2z = GELU_SLOPE · (x + GELU_CUBE · x³)"""

Layer = Callable[[Tensor], Tensor]

Projection = Callable[[Tensor], Tensor]
"""(length, in) to (length, out), a new tensor: the product with a weight."""

ResidualProjection = Callable[[Tensor, Tensor], Tensor]
"""(length, in) and a residual, (length, out), to their sum after a projection, a new tensor."""


@dataclass(frozen=True)
class Linear:
    """The product with a weight in the activations' dtype."""

    weight: Tensor  # (out, in)
    bias: Tensor | None = None  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class LayerNorm:
    """Mean 0 and variance 1 for each token (Ba et al. 2016, arXiv:1607.06450)."""

    weight: Tensor  # (width,)
    bias: Tensor  # (width,)
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class RMSNorm:
    """Mean square 1 for each token (Zhang and Sennrich 2019, arXiv:1910.07467); sums are in fp32."""

    weight: Tensor  # (width,)
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


@dataclass(frozen=True)
class MLP:
    up: Projection
    activation: Layer
    down: ResidualProjection

    def __call__(self, x: Tensor, residual: Tensor) -> Tensor:
        """(length, width), added to `residual`, (length, width)"""
        return self.down(self.activation(self.up(x)), residual)


def activation(config: DecoderConfig) -> Layer:
    """The MLP's activation, gated or not: (length, rows of `mlp_up`) to (length, mlp_width)."""
    function = _function(config.activation)
    if config.mlp == "plain":
        return function

    def gated(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return function(gate).mul_(up)

    return gated


def _function(kind: Activation) -> Layer:
    if kind == "gelu_tanh":
        return GeluTanh()
    plain: dict[str, Layer] = {"gelu": F.gelu, "relu": torch.relu, "silu": F.silu}
    return plain[kind]


class GeluTanh:
    """GELU in its approximation by tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    On a CPU as x · sigmoid(2z), which is equal: torch's tanh alone takes more than twice as long there.
    """

    def __init__(self) -> None:
        self._slope = torch.full((1,), GELU_SLOPE)

    def __call__(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return F.gelu(x, approximate="tanh")
        return torch.addcmul(self._slope, x, x, value=GELU_SLOPE * GELU_CUBE).mul_(x).sigmoid_().mul_(x)
