"""What a family says about its checkpoints: its facts, and where each of our weights lies in its tensors.

The table of sources is read in both directions: `loading` puts the tensors' rows to their places among ours,
`Family.export` takes them out again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from model_runtime.decoding import DecoderConfig

PIECE_ROWS = 64
"""Rows gathered at a time: what is in between, read and not yet in its place, stays in the CPU's cache."""


@dataclass(frozen=True, eq=False)
class RowOrder:
    """Another order of a tensor's rows: our row r is their row `index[r]`.

    All that families do to a weight besides fusing is this, to its rows; so it has an exact inverse.
    """

    index: Tensor  # (rows,), int64, on the CPU

    def __call__(self, theirs: Tensor) -> Tensor:
        """Their tensor in our order, as a copy."""
        return theirs[self.index]

    def copy(self, theirs: Tensor, ours: Tensor) -> None:
        """Put their rows, in our order, into `ours`, which may be of another dtype or on another device."""
        buffer = torch.empty_like(theirs[:PIECE_ROWS])
        for start in range(0, len(ours), PIECE_ROWS):
            places = self.index[start : start + PIECE_ROWS]
            piece = torch.index_select(theirs, 0, places, out=buffer[: len(places)])
            ours[start : start + PIECE_ROWS].copy_(piece)

    def undo(self, ours: Tensor) -> Tensor:
        """Our tensor in their order, as a copy."""
        theirs = torch.empty_like(ours)
        theirs[self.index.to(ours.device)] = ours
        return theirs


@dataclass(frozen=True)
class Source:
    """Where one of our weights comes from.

    It is the tensor `name` in the order of `relay`, or as it is where there is none. A weight that the
    family keeps in several tensors is the rows of all of them, `below` following `name`; then each says how
    many `rows` it has.
    """

    name: str
    relay: RowOrder | None = None
    rows: int | None = None
    below: tuple[Source, ...] = ()

    @property
    def parts(self) -> tuple[Source, ...]:
        """All tensors that the weight comes from, the first rows first; each a source of its own."""
        return (replace(self, below=()), *self.below)


@dataclass(frozen=True)
class Family:
    """One `model_type` of config.json.

    `facts` turns the config into a decoder's facts; `sources` names, for each of our weights
    (`decoding.weight_shapes`), where it comes from; `ignored` matches names that old files carry and that
    hold no weights, to be skipped where the whole name fits. Where checkpoints of one type are laid out
    differently, `variant` gives the family as a config has it.
    """

    model_type: str
    facts: Callable[[Mapping[str, Any]], DecoderConfig]
    sources: Callable[[DecoderConfig], Mapping[str, Source]]
    ignored: re.Pattern[str]
    variant: Callable[[Mapping[str, Any]], Family] | None = None

    def export(self, config: DecoderConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Our weights as the family's own tensors: what was loaded, bit by bit, but for skipped names.

        Each of `weights` is asked for once, in the decoder's order, and held no longer than its tensors are
        given out; a tensor may be a view of it.
        """
        for ours, source in self.sources(config).items():
            weight, start = weights[ours], 0
            for part in source.parts:
                end = len(weight) if part.rows is None else start + part.rows
                rows = weight[start:end]
                yield part.name, part.relay.undo(rows) if part.relay else rows
                start = end
