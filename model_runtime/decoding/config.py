"""The configuration that a decoder is built from: figures and kinds of layers, whatever the family."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]
Biased = Literal["qkv", "attention_out", "mlp", "head"]

MatrixFormat = Literal["float", "stored", "int8", "int4"]
"""The format of a decoder's matrices: the activations' dtype, the checkpoint's, or at most so many bits."""


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864).

    The first `dim` elements of each query and key head are rotated, element i of their first half together
    with element i of their second half, by the angle position / factor / theta ** (2 i / dim). A `factor`
    other than 1 is linear scaling (Chen et al. 2023, arXiv:2306.15595).

    Raises:
        ValueError: a figure is out of range.
    """

    dim: int
    theta: float
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.dim < 2 or self.dim % 2:
            raise ValueError(f"the rotary part of a head is {self.dim}: it must be an even number from 2 on")
        if not (self.theta > 0 and self.factor > 0):
            raise ValueError(f"rotary theta {self.theta} and factor {self.factor} must be greater than 0")


@dataclass(frozen=True)
class DecoderConfig:
    """The configuration of a decoder-only transformer.

    `width` is the residual stream's; `heads` query heads of `head_dim` share `kv_heads` key and value
    heads evenly; `attention_scale` multiplies the scores before the softmax. Without `rotary`, positions are
    learned, one vector for each of `context_length`. A parallel block adds up attention and MLP of the same
    norm's output; a sequential one has a norm for each, and the MLP follows attention. A gated MLP multiplies
    the activation of one projection by another one (Shazeer 2020, arXiv:2002.05202). `biases` names the
    projections that have one, `mlp` meaning all of the MLP's. With `tied_head` the embedding is also the
    head's weight.

    Raises:
        ValueError: figures are out of range or contradict each other.
    """

    vocab_size: int
    context_length: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    rotary: Rotary | None
    block: Literal["sequential", "parallel"]
    norm: Literal["layernorm", "rmsnorm"]
    norm_eps: float
    mlp: Literal["plain", "gated"]
    activation: Activation
    attention_scale: float
    biases: frozenset[Biased]
    tied_head: bool

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is int and value < 1:
                raise ValueError(f"{field.name} is {value}: it must be at least 1")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads cannot share {self.kv_heads} key heads evenly")
        if self.rotary and self.rotary.dim > self.head_dim:
            raise ValueError(f"the rotary part of a head is {self.rotary.dim}, all of it {self.head_dim}")

    @property
    def group(self) -> int:
        """The number of query heads that share a key head."""
        return self.heads // self.kv_heads

    @property
    def qkv_rows(self) -> tuple[int, int, int]:
        """The rows of the fused projection that are queries, keys and values."""
        return self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim
