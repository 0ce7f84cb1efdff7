"""Reads tensors from a mapped GGUF file: floats as views of it, quantised types decoded to fp32.

Only fp32 holds scale times integer exactly, so that the loader rounds once, to the dtype that was asked for.
"""

from __future__ import annotations

from pathlib import Path

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.families import RowOrder
from model_runtime.checkpoints.gguf.grouped import grouped_rows
from model_runtime.checkpoints.gguf.header import MAGIC, Entry
from model_runtime.native import GroupedRows

Kind = GGMLQuantizationType

FLOATS = {Kind.F32: torch.float32, Kind.F16: torch.float16, Kind.BF16: torch.bfloat16}
QUANTISED = (
    Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0,
    Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL, Kind.IQ4_XS,
)  # fmt: skip

PIECE_VALUES = 1 << 18
"""Values decoded at a time, since the intermediate arrays are several times as large."""


def map_file(path: Path) -> Tensor:
    """The bytes of a file, uint8, memory-mapped; they must not be written to.

    Raises:
        CorruptCheckpoint: the file is empty or cannot be read.
    """
    try:
        length = path.stat().st_size
        if length > len(MAGIC):  # an empty file cannot be mapped
            return torch.from_file(str(path), shared=False, size=length, dtype=torch.uint8)
    except (OSError, RuntimeError) as error:
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


def read_tensor(data: Tensor, entry: Entry, order: RowOrder | None = None) -> Tensor:
    """A tensor from the mapped file `data`, with its rows in another `order`, if any.

    Without one, floats are a view of the file. Quantised rows are reordered before they are decoded.
    """
    if entry.type in FLOATS:
        stored = data[entry.start : entry.start + entry.length]
        tensor = stored.view(FLOATS[entry.type]).view(entry.shape)
        return order(tensor) if order else tensor
    rows = _quantised_rows(data, entry, order)
    return _dequantise(rows.reshape(-1, rows.shape[-1]), entry.type).view(entry.shape)


def read_grouped(data: Tensor, entry: Entry, order: RowOrder | None = None) -> GroupedRows | None:
    """A quantised matrix without decoding it; None if it is none, or its type has other groups."""
    if entry.type in FLOATS or len(entry.shape) != 2:
        return None
    return grouped_rows(_quantised_rows(data, entry, order).numpy(), entry.type)


def _quantised_rows(data: Tensor, entry: Entry, order: RowOrder | None) -> Tensor:
    """(…, bytes of a row), uint8"""
    values, size = GGML_QUANT_SIZES[entry.type]
    stored = data[entry.start : entry.start + entry.length]
    stored = stored.view(*entry.shape[:-1], entry.shape[-1] // values * size)
    return order(stored) if order else stored


def _dequantise(rows: Tensor, kind: GGMLQuantizationType) -> Tensor:
    """(rows, bytes of a row), uint8, to (rows, values of a row), fp32."""
    values, size = GGML_QUANT_SIZES[kind]
    decoded = torch.empty(rows.shape[0], rows.shape[1] // size * values, dtype=torch.float32)
    step = max(1, PIECE_VALUES // decoded.shape[1])
    for first in range(0, len(rows), step):
        piece = dequantize(rows[first : first + step].numpy(), kind)
        decoded[first : first + step] = torch.from_numpy(piece)
    return decoded
