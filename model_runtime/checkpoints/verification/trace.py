"""The activations of one run, part by part, in the same terms for the decoder and transformers' model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Part = Literal[
    "embedding", "queries", "keys", "values", "attention", "MLP", "block", "final norm", "logits"
]  # fmt: skip

BLOCK: tuple[Part, ...] = ("queries", "keys", "values", "attention", "MLP", "block")
"""The parts of a block: queries and keys after rotation, attention and MLP after their last projection, and
the block's output."""


class TracePoint(NamedTuple):
    """A part of the decoder; `layer` is the block's number, or None for parts outside of the blocks."""

    part: Part
    layer: int | None = None


@dataclass(frozen=True)
class Trace:
    """One run: the outputs of each part for a prompt, then a greedy continuation. All tensors are on the CPU.

    Attributes:
        parts: (length, …) each; queries, keys, values are (length, heads, head_dim), logits (length, vocab).
        steps: the logits that each greedy token was chosen by, (vocab,) each.
    """

    parts: dict[TracePoint, Tensor] = field(default_factory=dict)
    steps: list[Tensor] = field(default_factory=list)

    def record(self, point: TracePoint, activations: Tensor) -> None:
        """Keep a copy of a part's output."""
        assert point not in self.parts, f"{point} is computed twice"
        self.parts[point] = activations.detach().to("cpu", copy=True)

    def choose(self, logits: Tensor) -> int:
        """Record `logits`, (vocab,), and return the greedy token."""
        self.steps.append(logits.detach().to("cpu", copy=True))
        return int(logits.argmax())

    @property
    def tokens(self) -> list[int]:
        """The greedy continuation."""
        return [int(logits.argmax()) for logits in self.steps]


def trace_points(layers: int) -> Iterator[TracePoint]:
    """Every point of a decoder with so many blocks, in the order of computation."""
    yield TracePoint("embedding")
    for layer in range(layers):
        for part in BLOCK:
            yield TracePoint(part, layer)
    yield TracePoint("final norm")
    yield TracePoint("logits")


def interleaved(heads: Tensor, rotary_dim: int) -> Tensor:
    """Queries or keys, (length, heads, head_dim), with rotated halves reordered as interleaved pairs."""
    rotated, rest = heads[..., :rotary_dim], heads[..., rotary_dim:]
    pairs = torch.stack(rotated.chunk(2, dim=-1), dim=-1)  # (length, heads, rotary_dim / 2, 2)
    return torch.cat((pairs.flatten(-2), rest), dim=-1)
