"""Which product a weight gets: settled once, by what the weight is and where it lies.

Between the decoder and its weights. Where Triton compiles for the weight's device, a few rows' products are
kernels that do what stands around them too (`triton_products`); elsewhere that is left to torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from model_runtime.decoding.config import DecoderConfig
from model_runtime.decoding.int8 import Int8Weight, PackedWeight, has_int8_kernel, int8_linear
from model_runtime.decoding.layers import MLP, Adding, Linear, Projection, activation

if TYPE_CHECKING:
    from model_runtime.decoding.triton_products import TritonProduct

Weight = Tensor | Int8Weight | PackedWeight
"""A matrix that activations are multiplied by, or rows are looked up in; all other weights are tensors."""


class Products:
    """The products of a decoder's weights.

    Args:
        weights: as the decoder has them.
        triton: the types of device, such as "cuda", on which products are Triton's.
    """

    def __init__(self, weights: Mapping[str, Weight], triton: frozenset[str]) -> None:
        self._weights, self._triton = weights, triton
        norm = weights["final_norm.weight"]
        assert isinstance(norm, Tensor), "a norm is multiplied by element: it stays a tensor"
        self._dtype = norm.dtype

    @property
    def rowwise(self) -> bool:
        """Whether a row's products in the blocks are the same bits whatever the other rows are."""
        blocks = [weight for name, weight in self._weights.items() if name.startswith("blocks.")]
        matrices = [weight for weight in blocks if len(weight.shape) == 2]
        return all(
            not isinstance(weight, Tensor) and has_int8_kernel(weight.device, self._dtype)
            for weight in matrices
        )

    def projection(self, name: str, tied: str | None = None) -> Projection:
        """The product with `name`.weight, or `tied`.weight in its place, and with its bias, if it has one."""
        weight, bias = self._parts(name, tied)
        if self._on_triton(weight):
            return _triton(weight, bias)
        if isinstance(weight, Tensor):
            return Linear(weight, bias)
        return int8_linear(weight, bias, self._dtype)

    def adding(self, name: str) -> Adding:
        """The same, added to the residual stream."""
        weight, bias = self._parts(name)
        if self._on_triton(weight):
            return _triton(weight, bias)
        product = self.projection(name)
        return lambda x, onto: product(x).add_(onto)

    def mlp(self, name: str, config: DecoderConfig) -> MLP:
        """A block's MLP; `name` is the block's."""
        up, down = f"{name}.mlp_up", self.adding(f"{name}.mlp_down")
        weight, bias = self._parts(up)
        if config.mlp == "plain" and self._on_triton(weight):
            return MLP(_triton(weight, bias, config), _nothing, down)
        return MLP(self.projection(up), activation(config), down)

    def _parts(self, name: str, tied: str | None = None) -> tuple[Weight, Tensor | None]:
        bias = self._weights.get(f"{name}.bias")
        assert bias is None or isinstance(bias, Tensor), f"{name}.bias is added by element: it stays a tensor"
        return self._weights[f"{tied or name}.weight"], bias

    def _on_triton(self, weight: Weight) -> bool:
        return weight.device.type in self._triton


def _triton(weight: Weight, bias: Tensor | None, config: DecoderConfig | None = None) -> TritonProduct:
    from model_runtime.decoding.triton_products import TritonProduct  # Triton is not everywhere

    assert not isinstance(weight, PackedWeight), "packed for a CPU"
    return TritonProduct(weight, bias, config)


def _nothing(x: Tensor) -> Tensor:
    return x
