"""Positions: learned vectors added to the embeddings, or rotations of queries and keys.

Both kinds have the same methods, so that the decoder need not know which kind it has.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model_runtime.decoding import Rotary

PositionIndex = slice | Tensor
"""The positions of a step's tokens: a slice, or a tensor, (length,), which a graph can read."""

Rotate = Callable[[Tensor], None]
"""Rotates queries and keys, (length, heads, head_dim), in place."""


class LearnedPositions:
    """One vector for each position; `vectors` is (context_length, width)."""

    tables = None
    """There are no rotations."""

    def __init__(self, vectors: Tensor) -> None:
        self._vectors = vectors

    def add(self, x: Tensor, where: PositionIndex) -> Tensor:
        """Add the positions' vectors to token embeddings, (length, width)."""
        return x + self._vectors[where]

    def rotation(self, where: PositionIndex) -> Rotate | None:
        """None: queries and keys stay as they are."""
        return None


class RotaryPositions:
    """Rotary positions, from tables of (context_length, 1, rotary.dim); the dimension of 1 is for the heads.

    Angles are computed in fp32 whatever the activations' dtype: at position 2000, bf16 is off by radians.
    """

    def __init__(self, rotary: Rotary, context_length: int, dtype: torch.dtype, device: torch.device) -> None:
        self._dim = rotary.dim
        frequencies = 1.0 / rotary.theta ** (torch.arange(0, rotary.dim, 2, dtype=torch.float32) / rotary.dim)
        angles = torch.arange(context_length, dtype=torch.float32)[:, None] * (frequencies / rotary.factor)
        cos, sin = angles.cos(), angles.sin()  # (context_length, dim / 2)
        # The rotation swaps the two halves and negates the first: the sign is in the table.
        self._cos = torch.cat((cos, cos), dim=-1).unsqueeze(1).to(device, dtype)
        self._sin = torch.cat((-sin, sin), dim=-1).unsqueeze(1).to(device, dtype)

    @property
    def tables(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (context_length, 1, rotary.dim)."""
        return self._cos, self._sin

    def add(self, x: Tensor, where: PositionIndex) -> Tensor:
        """Token embeddings stay as they are."""
        return x

    def rotation(self, where: PositionIndex) -> Rotate | None:
        """The rotation of tokens at these positions."""
        cos, sin = self._cos[where], self._sin[where]
        dim, half = self._dim, self._dim // 2

        def rotate(heads: Tensor) -> None:
            rotated = heads[..., :dim]
            swapped = rotated.roll(half, dims=-1)
            rotated.mul_(cos).addcmul_(swapped, sin)

        return rotate


Positions = LearnedPositions | RotaryPositions
