"""The facts a decoder is built from: what a family's config comes down to, and never a model's name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer in figures.

    `width` is the residual stream's; `heads` query heads of `head_dim` share `kv_heads` key and value
    heads evenly; `attention_scale` multiplies the scores before the softmax; positions are learned, one
    vector for each of `context_length`. With `tied_head` the embedding also gives the logits.

    Raises:
        ValueError: the figures contradict each other.
    """

    vocab_size: int
    context_length: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    norm_eps: float
    activation: Activation
    attention_scale: float
    tied_head: bool

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is int and value < 1:
                raise ValueError(f"{field.name} is {value}: it must be at least 1")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads cannot share {self.kv_heads} key heads evenly")

    @property
    def group(self) -> int:
        """How many query heads share one key head."""
        return self.heads // self.kv_heads
