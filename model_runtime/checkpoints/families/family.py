"""What a family defines: how its config becomes a decoder's, and which tensors each weight is made of.

The layout is used in both directions: `Weights` copies the tensors' rows to their places in the decoder's
weights, `Family.export` copies them back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.decoding import DecoderConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class RowOrder:
    """A permutation of rows: row r of the decoder's weight is row `index[r]` of the checkpoint's tensor.

    Besides fusing weights, families differ in this alone, so that the conversion is exact and can be undone.
    """

    index: NDArray[np.int64]  # (rows,)

    def __call__(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A copy of the checkpoint's tensor in the decoder's order."""
        return stored[self.index]

    def undo(self, rows: Tensor) -> Tensor:
        """A copy of the decoder's rows in the checkpoint's order."""
        return rows[np.argsort(self.index)]


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
            weight, start = weights[name], 0
            for part in parts:
                rows = weight[start : start + part.rows]
                start += part.rows
                yield part.name, part.order.undo(rows) if part.order else rows
