"""What a family defines: how its config becomes a decoder's, and which tensors each weight is made of.

The layout is used in both directions: `Weights` copies the tensors' rows to their places in the decoder's
weights, `Family.export` copies them back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model_runtime.decoding import DecoderConfig

BLOCK_ROWS = 64
"""Rows gathered at a time, so that the buffer stays in the CPU's cache."""


@dataclass(frozen=True, eq=False)
class RowOrder:
    """A permutation of rows: row r of the decoder's weight is row `index[r]` of the checkpoint's tensor.

    Besides fusing weights, families differ in this alone, so that the conversion is exact and can be undone.
    """

    index: Tensor  # (rows,), int64, on the CPU

    def __call__(self, stored: Tensor) -> Tensor:
        """A copy of the checkpoint's tensor in the decoder's order."""
        return stored[self.index]

    def copy(self, stored: Tensor, target: Tensor) -> None:
        """Copy the checkpoint's rows in order into `target`, which may have another dtype or device."""
        buffer = torch.empty_like(stored[:BLOCK_ROWS])
        for start in range(0, len(target), BLOCK_ROWS):
            places = self.index[start : start + BLOCK_ROWS]
            rows = torch.index_select(stored, 0, places, out=buffer[: len(places)])
            target[start : start + BLOCK_ROWS].copy_(rows)

    def undo(self, rows: Tensor) -> Tensor:
        """A copy of the decoder's rows in the checkpoint's order."""
        stored = torch.empty_like(rows)
        stored[self.index.to(rows.device)] = rows
        return stored


@dataclass(frozen=True)
class SourceTensor:
    """A tensor of the checkpoint that has `rows` of a weight, permuted by `order` if there is one."""

    name: str
    rows: int
    order: RowOrder | None = None


Layout = Mapping[str, tuple[SourceTensor, ...]]
"""For each of a decoder's weights (`decoding.weight_shapes`) the tensors it is made of, first rows first."""


@dataclass(frozen=True)
class Family:
    """One `model_type` of config.json.

    Attributes:
        model_type: its name.
        decoder_config: turns config.json into the decoder's configuration.
        layout: which tensors each weight is made of.
        ignored: matches the full names of tensors that are no weights and are skipped.
        variant: the family for a given config.json, where checkpoints of one type differ in their layout.
    """

    model_type: str
    decoder_config: Callable[[Mapping[str, Any]], DecoderConfig]
    layout: Callable[[DecoderConfig], Layout]
    ignored: re.Pattern[str]
    variant: Callable[[Mapping[str, Any]], Family] | None = None

    def export(self, config: DecoderConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The names and tensors of a checkpoint of this family, equal bit by bit to the loaded ones.

        Each of `weights` is looked up once, in the decoder's order; a tensor may be a view of it.
        """
        for name, parts in self.layout(config).items():
            for part, rows in zip(
                parts, torch.split(weights[name], [part.rows for part in parts]), strict=True
            ):
                yield part.name, part.order.undo(rows) if part.order else rows
