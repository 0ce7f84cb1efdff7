"""Opens one weights file, after checking its header, to read tensors from it by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.pickled import load_pickle
from model_runtime.checkpoints.stored import DTYPES, Stored, map_bytes, tensor_at

MAX_HEADER = 100_000_000  # bytes; the format's own limit


Readers = Mapping[str, Callable[[], Stored]]
"""For each tensor's name, a function that returns the tensor, memory-mapped."""


def open_tensors(path: Path) -> Readers:
    """Open a `.safetensors` file, or a `.bin` file that `torch.save` wrote.

    Raises:
        CorruptCheckpoint: the file is damaged; the message names the first affected tensor, if it can.
        UnsupportedModel: it has a tensor of an unknown dtype.
    """
    if path.suffix != ".safetensors":
        return load_pickle(path)
    with path.open("rb") as file:
        start, entries = _header(path, file)
    try:
        with safe_open(path, framework="np"):
            pass  # the library checks the rest of the header, such as that no tensors overlap
    except SafetensorError as error:
        raise CorruptCheckpoint(f"{path} is damaged ({error}): download or copy it again") from error
    mapped = map_bytes(path)

    def read(entry: Mapping[str, Any]) -> Stored:
        begin, end = entry["data_offsets"]
        return tensor_at(mapped, start + begin, start + end, entry["dtype"], tuple(entry["shape"]))

    return {name: partial(read, entry) for name, entry in entries.items()}


def _header(path: Path, file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """The byte where tensors begin, and the header's entries.

    They are checked against the file's size, to name the first missing tensor, which the library does not.

    Layout: 8 bytes of header length, the header in JSON, then the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    length_bytes = file.read(8)
    if length_bytes == b"version ":
        raise CorruptCheckpoint(f"{path} is only a git-lfs pointer: run `git lfs pull` in its folder")
    header_length, file_length = int.from_bytes(length_bytes, "little"), path.stat().st_size
    if len(length_bytes) < 8 or header_length > min(MAX_HEADER, file_length - 8):
        raise CorruptCheckpoint(f"{path} is cut short or no safetensors file: download or copy it again")
    try:
        header = json.loads(file.read(header_length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted((*map(index, entry["data_offsets"]), name) for name, entry in entries.items())
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} has a damaged header: download or copy it again") from error
    start = 8 + header_length
    for begin, end, name in spans:
        _check_entry(path, name, entries[name], end - begin)
        if start + end > file_length:
            raise CorruptCheckpoint(
                f"{path} is cut short: tensor {name!r} ends at byte {start + end}, "
                f"the file at {file_length}; download or copy it again"
            )
    return start, entries


def _check_entry(path: Path, name: str, entry: Mapping[str, Any], length: int) -> None:
    """Check a tensor's shape and dtype against its `length` in bytes."""
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if dtype not in DTYPES:
        raise UnsupportedModel(f"{path}: tensor {name!r} has dtype {dtype}; supported: {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise CorruptCheckpoint(f"{path}: tensor {name!r} has no valid shape: download or copy it again")
    if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != length:
        raise CorruptCheckpoint(
            f"{path}: tensor {name!r} of shape {shape} and dtype {dtype} cannot have {length} bytes: "
            "download or copy it again"
        )
