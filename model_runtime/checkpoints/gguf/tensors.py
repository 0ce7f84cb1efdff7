"""Reads tensors from a mapped GGUF file: floats as views of it, quantised types decoded to fp32.

Only fp32 holds scale times integer exactly, so that the loader rounds once, to the dtype that was asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families import RowOrder
from model_runtime.checkpoints.gguf.grouped import grouped_rows
from model_runtime.checkpoints.gguf.header import MAGIC, Entry
from model_runtime.checkpoints.stored import Stored, map_bytes, tensor_at
from model_runtime.native import GroupedRows

Kind = GGMLQuantizationType

FLOATS = {kind: kind.name for kind in (Kind.F32, Kind.F16, Kind.BF16)}
QUANTISED = (
    Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0,
    Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL, Kind.IQ4_XS,
)  # fmt: skip

PIECE_VALUES = 1 << 18
"""Values decoded at a time, since the intermediate arrays are several times as large."""


def map_file(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, memory-mapped; they must not be written to.

    Raises:
        CorruptCheckpoint: the file is empty or cannot be read.
    """
    try:
        if path.stat().st_size > len(MAGIC):  # an empty file cannot be mapped
            return map_bytes(path)
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error}): mend it or copy it again") from error
    raise CorruptCheckpoint(f"{path} is no GGUF file: download or copy it again")


def check_type(path: Path, entry: Entry) -> None:
    """Refuse a tensor of a type that `read_tensor` does not support.

    Raises:
        UnsupportedModel: it has such a type.
    """
    if entry.type not in FLOATS and entry.type not in QUANTISED:
        supported = ", ".join(kind.name for kind in (*FLOATS, *QUANTISED))
        raise UnsupportedModel(
            f"{path}: tensor {entry.name!r} has type {entry.type.name}; supported: {supported}"
        )


def read_tensor(data: NDArray[np.uint8], entry: Entry, order: RowOrder | None = None) -> Stored:
    """A tensor from the mapped file `data`, with its rows in another `order`, if any.

    Without one, floats are a view of the file. Quantised rows are reordered before they are decoded.
    """
    if entry.type in FLOATS:
        stored = tensor_at(data, entry.start, entry.start + entry.length, FLOATS[entry.type], entry.shape)
        return replace(stored, values=order(stored.values)) if order else stored
    rows = _quantised_rows(data, entry, order)
    return Stored(_dequantise(rows.reshape(-1, rows.shape[-1]), entry.type).reshape(entry.shape), "F32")


def read_grouped(data: NDArray[np.uint8], entry: Entry, order: RowOrder | None = None) -> GroupedRows | None:
    """A quantised matrix without decoding it; None if it is none, or its type has other groups."""
    if entry.type in FLOATS or len(entry.shape) != 2:
        return None
    return grouped_rows(_quantised_rows(data, entry, order), entry.type)


def _quantised_rows(data: NDArray[np.uint8], entry: Entry, order: RowOrder | None) -> NDArray[np.uint8]:
    """(…, bytes of a row), uint8"""
    values, size = GGML_QUANT_SIZES[entry.type]
    stored = data[entry.start : entry.start + entry.length]
    stored = stored.reshape(*entry.shape[:-1], entry.shape[-1] // values * size)
    return order(stored) if order else stored


def _dequantise(rows: NDArray[np.uint8], kind: GGMLQuantizationType) -> NDArray[np.float32]:
    """(rows, bytes of a row) to (rows, values of a row)."""
    values, size = GGML_QUANT_SIZES[kind]
    decoded = np.empty((rows.shape[0], rows.shape[1] // size * values), np.float32)
    step = max(1, PIECE_VALUES // decoded.shape[1])
    for first in range(0, len(rows), step):
        decoded[first : first + step] = dequantize(rows[first : first + step], kind)
    return decoded
