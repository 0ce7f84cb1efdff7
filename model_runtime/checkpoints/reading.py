"""Reads a checkpoint's weights one after the other, for either kind of decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Literal, TypeAlias

from model_runtime.api import Dtype, LoadProgress
from model_runtime.checkpoints.device_map import DeviceMap
from model_runtime.checkpoints.weights import Weights
from model_runtime.decoding import DecoderConfig, MatrixFormat
from model_runtime.native import Bits, GroupedRows

Placement: TypeAlias = Callable[[DecoderConfig, Dtype, bool], DeviceMap]
"""From the configuration, the weights' dtype, and whether matrices are int8, to the device of each module."""

QuantizedFormat = Literal["int8", "int4"]

BITS: Mapping[MatrixFormat, Bits] = {"int8": 8, "int4": 4}

POSITIONS = "positions.weight"

ENDS = ("embedding.weight", "head.weight")
"""In 4 bits they would cost more of the quality than their size is worth."""


def reported(weights: Weights, progress: LoadProgress | None) -> Iterator[str]:
    """The weights' names, one by one, and the share that is read."""
    total, done = sum(map(prod, weights.shapes.values())), 0
    for name, shape in weights.shapes.items():
        yield name
        done += prod(shape)
        if progress is not None:
            progress(done / total, "reading weights")


def is_matrix(weights: Weights, name: str) -> bool:
    """Whether a weight can be quantised: learned positions, a table too, stay as they are."""
    return len(weights.shapes[name]) == 2 and name != POSITIONS


def grouped(weights: Weights, name: str, bits: Bits) -> GroupedRows:
    """A matrix in groups, in the format that it has in a decoder of so many bits."""
    return weights.grouped(name, 8 if name in ENDS else bits)
