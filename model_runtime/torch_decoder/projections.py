"""Chooses the implementation of each projection by its weight's format and device, when a decoder is built.

On devices that Triton compiles for, products of a few rows are kernels that include bias, activation and
residual (`triton_projections`); elsewhere torch computes them one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from model_runtime.decoding import DecoderConfig
from model_runtime.torch_decoder.int8 import Int8Weight, int8_linear
from model_runtime.torch_decoder.layers import MLP, Linear, Projection, ResidualProjection, activation

if TYPE_CHECKING:
    from model_runtime.torch_decoder.triton_projections import TritonProjection

Weight = Tensor | Int8Weight
"""A weight; only matrices can be other than a tensor."""


class Projections:
    """Makes the projections of a decoder.

    Args:
        weights: of the decoder.
        triton: the types of device, such as "cuda", on which Triton's kernels are used.
    """

    def __init__(self, weights: Mapping[str, Weight], triton: frozenset[str]) -> None:
        self._weights, self._triton = weights, triton
        norm = weights["final_norm.weight"]
        assert isinstance(norm, Tensor), "a norm's weight is used elementwise: it stays a tensor"
        self._dtype = norm.dtype

    def projection(self, name: str, tied: str | None = None) -> Projection:
        """The product with `name`.weight, or with `tied`.weight instead, plus the bias, if there is one."""
        weight, bias = self._parts(name, tied)
        if self._on_triton(weight):
            return _triton(weight, bias)
        if isinstance(weight, Tensor):
            return Linear(weight, bias)
        return int8_linear(weight, bias, self._dtype)

    def residual_projection(self, name: str) -> ResidualProjection:
        """The same, added to the residual stream."""
        weight, bias = self._parts(name)
        if self._on_triton(weight):
            return _triton(weight, bias)
        product = self.projection(name)
        return lambda x, residual: product(x).add_(residual)

    def mlp(self, name: str, config: DecoderConfig) -> MLP:
        """The MLP of the block `name`."""
        up, down = f"{name}.mlp_up", self.residual_projection(f"{name}.mlp_down")
        weight, bias = self._parts(up)
        if config.mlp == "plain" and self._on_triton(weight):
            return MLP(_triton(weight, bias, config), _identity, down)
        return MLP(self.projection(up), activation(config), down)

    def _parts(self, name: str, tied: str | None = None) -> tuple[Weight, Tensor | None]:
        bias = self._weights.get(f"{name}.bias")
        assert bias is None or isinstance(bias, Tensor), (
            f"{name}.bias is added elementwise: it stays a tensor"
        )
        return self._weights[f"{tied or name}.weight"], bias

    def _on_triton(self, weight: Weight) -> bool:
        return weight.device.type in self._triton


def _triton(weight: Weight, bias: Tensor | None, config: DecoderConfig | None = None) -> TritonProjection:
    from model_runtime.torch_decoder.triton_projections import (
        TritonProjection,  # not available on every platform
    )

    return TritonProjection(weight, bias, config)


def _identity(x: Tensor) -> Tensor:
    return x
