"""What a decoder computed on its way, part by part: ours and transformers' in the same terms.

`verify_ours` and `verify_theirs` each make a `Trace`; `verify` holds one against the other.
"""

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
"""The parts of a block: queries and keys after their rotation, attention and MLP after their last projection,
and what the block hands on."""


class Spot(NamedTuple):
    """A part of the decoder, and of which block where each has one."""

    part: Part
    layer: int | None = None


@dataclass(frozen=True)
class Trace:
    """One run: what each part gave for each token of a prompt, then the greedy continuation.

    Attributes:
        parts: (length, …) for each spot; queries, keys and values are (length, heads, head_dim), logits
            (length, vocab). They are on the CPU.
        steps: the logits that each greedy token was chosen by, (vocab,) each.
    """

    parts: dict[Spot, Tensor] = field(default_factory=dict)
    steps: list[Tensor] = field(default_factory=list)

    def see(self, spot: Spot, activations: Tensor) -> None:
        """Keep what a part gave, whatever becomes of that memory later."""
        assert spot not in self.parts, f"{spot} is computed twice"
        self.parts[spot] = activations.detach().to("cpu", copy=True)

    def choose(self, logits: Tensor) -> int:
        """The greedy token by `logits`, (vocab,), which are kept."""
        self.steps.append(logits.detach().to("cpu", copy=True))
        return int(logits.argmax())

    @property
    def tokens(self) -> list[int]:
        """The greedy continuation."""
        return [int(logits.argmax()) for logits in self.steps]


def spots(layers: int) -> Iterator[Spot]:
    """Every spot of a decoder with so many blocks, in the order of computation."""
    yield Spot("embedding")
    for layer in range(layers):
        for part in BLOCK:
            yield Spot(part, layer)
    yield Spot("final norm")
    yield Spot("logits")


def interleaved(heads: Tensor, rotary_dim: int) -> Tensor:
    """Heads whose rotated elements lie as two halves, in the order in which partners are neighbours.

    Args:
        heads: queries or keys, (length, heads, head_dim).
        rotary_dim: how many elements of each head are rotated.
    """
    turned, rest = heads[..., :rotary_dim], heads[..., rotary_dim:]
    pairs = torch.stack(turned.chunk(2, dim=-1), dim=-1)  # (length, heads, rotary_dim / 2, 2)
    return torch.cat((pairs.flatten(-2), rest), dim=-1)
