"""A checkpoint's weights as tensors, for torch's decoder and for conversion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from model_runtime.checkpoints.device_map import DeviceMap, module_of
from model_runtime.checkpoints.families import RowOrder
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.weights import Int8Rows, Weights
from model_runtime.torch_decoder import Int8Weight, quantize

BLOCK_ROWS = 64
"""Rows gathered at a time, so that the buffer stays in the CPU's cache."""


class TorchWeights(Mapping[str, Tensor]):
    """Tensors under the decoder's names and in its layout; a look-up raises as one in `weights` does.

    Args:
        weights: where they are read from.
        dtype: of the tensors; None for that of the files.
        device: where to put the tensors: one device, or one for each module.
    """

    def __init__(
        self, weights: Weights, *, dtype: torch.dtype | None = None, device: str | DeviceMap = "cpu"
    ) -> None:
        self.weights, self._dtype, self._device = weights, dtype, device

    def __getitem__(self, name: str) -> Tensor:
        parts = [
            part.dequantized(torch.float32) if isinstance(part, Int8Weight) else part
            for part in self._stored(name)
        ]
        dtype = self._dtype or reduce(torch.promote_types, (part.dtype for part in parts))
        return self._assembled(name, parts, dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights.shapes)

    def __len__(self) -> int:
        return len(self.weights.shapes)

    def int8(self, name: str) -> Int8Weight:
        """A matrix in int8, as it is stored or quantised now."""
        parts = [part if isinstance(part, Int8Weight) else quantize(part) for part in self._stored(name)]
        return Int8Weight(
            self._assembled(name, [part.values for part in parts], torch.int8),
            self._assembled(name, [part.scale for part in parts], torch.float32),
        )

    def _stored(self, name: str) -> list[Tensor | Int8Weight]:
        """The parts of a weight as they are stored, memory-mapped."""
        return [
            Int8Weight(torch.from_numpy(part.values), torch.from_numpy(part.scale))
            if isinstance(part, Int8Rows)
            else part.tensor()
            for part in self.weights.stored(name)
        ]

    def _assembled(self, name: str, tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """A weight from the tensors of its parts, whose rows are copied directly to their places.

        A single tensor in order is not copied if it has the wanted device and dtype.
        """
        parts = self.weights.layout[name]
        device = self._device if isinstance(self._device, str) else self._device[module_of(name)]
        if len(parts) == 1 and parts[0].order is None:
            return tensors[0].to(device, dtype).contiguous()
        rows = sum(part.rows for part in parts)
        weight = torch.empty((rows, *tensors[0].shape[1:]), dtype=dtype, device=device)
        for part, tensor, target in zip(
            parts, tensors, torch.split(weight, [part.rows for part in parts]), strict=True
        ):
            if part.order:
                _copy_in_order(tensor, part.order, target)
            else:
                target.copy_(tensor)
        return weight


class ReopenedWeights(Mapping[str, Tensor]):
    """A folder's weights, opened anew for each module: that releases the mapped pages of the one before."""

    def __init__(self, weights: Weights) -> None:
        self._tensors, self._module = TorchWeights(weights), ""

    def __getitem__(self, name: str) -> Tensor:
        if module_of(name) != self._module:
            self._module, old = module_of(name), self._tensors.weights
            reopened = CheckpointFolder(old.checkpoint.path)
            self._tensors = TorchWeights(Weights(reopened, old.family, old.config))
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _copy_in_order(stored: Tensor, order: RowOrder, target: Tensor) -> None:
    """Copy the checkpoint's rows in order into `target`, which may have another dtype or device."""
    index = torch.from_numpy(order.index)
    buffer = torch.empty_like(stored[:BLOCK_ROWS])
    for start in range(0, len(target), BLOCK_ROWS):
        places = index[start : start + BLOCK_ROWS]
        rows = torch.index_select(stored, 0, places, out=buffer[: len(places)])
        target[start : start + BLOCK_ROWS].copy_(rows)
