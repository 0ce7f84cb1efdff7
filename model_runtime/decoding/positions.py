"""Where a token stands: a learned vector added to it, or a rotation of its queries and keys.

Both kinds answer both questions, so that the decoder asks them without knowing which kind it has.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model_runtime.decoding.config import Rotary

Where = slice | Tensor
"""The positions of a step's tokens: from one to another, or (length,) in a tensor, which a graph can read."""

Turn = Callable[[Tensor], None]
"""Turns queries and keys, (length, heads, head_dim), in place."""


class LearnedPositions:
    """One vector for each position; `vectors` is (context_length, width)."""

    tables = None
    """Nothing is turned."""

    def __init__(self, vectors: Tensor) -> None:
        self._vectors = vectors

    def add(self, x: Tensor, where: Where) -> Tensor:
        """The embeddings of tokens, (length, width), with their positions'."""
        return x + self._vectors[where]

    def turn(self, where: Where) -> Turn | None:
        """Queries and keys stay as they are."""
        return None


class RotaryPositions:
    """Rotations by tables of (context_length, 1, rotary.dim), the 1 being for the heads.

    Angles, sines and cosines are computed in fp32, whatever the activations' dtype: at position 2000, bf16
    would be off by radians.
    """

    def __init__(self, rotary: Rotary, context_length: int, dtype: torch.dtype, device: torch.device) -> None:
        self._dim = rotary.dim
        frequencies = 1.0 / rotary.theta ** (torch.arange(0, rotary.dim, 2, dtype=torch.float32) / rotary.dim)
        angles = torch.arange(context_length, dtype=torch.float32)[:, None] * (frequencies / rotary.factor)
        cos, sin = angles.cos(), angles.sin()  # (context_length, dim / 2)
        # The two halves trade places and the first one changes its sign: the tables have it already.
        self._cos = torch.cat((cos, cos), dim=-1).unsqueeze(1).to(device, dtype)
        self._sin = torch.cat((-sin, sin), dim=-1).unsqueeze(1).to(device, dtype)

    @property
    def tables(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (context_length, 1, rotary.dim)."""
        return self._cos, self._sin

    def add(self, x: Tensor, where: Where) -> Tensor:
        """The embeddings of tokens stay as they are."""
        return x

    def turn(self, where: Where) -> Turn | None:
        """The rotation of tokens at these positions."""
        cos, sin = self._cos[where], self._sin[where]
        dim, half = self._dim, self._dim // 2

        def turn(heads: Tensor) -> None:
            turned = heads[..., :dim]
            swapped = turned.roll(half, dims=-1)
            turned.mul_(cos).addcmul_(swapped, sin)

        return turn


Positions = LearnedPositions | RotaryPositions
