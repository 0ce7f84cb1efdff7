"""Opens one weights file, after checking its header, to read tensors from it by name."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, UnsupportedModel

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip
MAX_HEADER = 100_000_000  # bytes; the format's own limit


Readers = Mapping[str, Callable[[], Tensor]]
"""For each tensor's name, a function that returns the tensor, memory-mapped."""


def open_tensors(path: Path) -> Readers:
    """Open a `.safetensors` file, or a `.bin` file that `torch.save` wrote.

    Raises:
        CorruptCheckpoint: the file is damaged; the message names the first affected tensor, if it can.
        UnsupportedModel: it has a tensor of an unknown dtype.
    """
    if path.suffix != ".safetensors":
        content = _load_pickle(path)
        return {name: partial(content.__getitem__, name) for name in content}
    with path.open("rb") as file:
        _check(path, file)
    try:
        opened: Any = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CorruptCheckpoint(f"{path} is damaged ({error}): download or copy it again") from error
    return {name: partial(opened.get_tensor, name) for name in opened.keys()}  # noqa: SIM118 - no iterator


def _check(path: Path, file: BinaryIO) -> None:
    """Check the header against the file's size, to name the first missing tensor, which the library does not.

    Layout: 8 bytes of header length, the header in JSON, then the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    start = file.read(8)
    if start == b"version ":
        raise CorruptCheckpoint(f"{path} is only a git-lfs pointer: run `git lfs pull` in its folder")
    header_length, file_length = int.from_bytes(start, "little"), path.stat().st_size
    if len(start) < 8 or header_length > min(MAX_HEADER, file_length - 8):
        raise CorruptCheckpoint(f"{path} is cut short or no safetensors file: download or copy it again")
    try:
        header = json.loads(file.read(header_length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted((*map(index, entry["data_offsets"]), name) for name, entry in entries.items())
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} has a damaged header: download or copy it again") from error
    for begin, end, name in spans:
        _check_entry(path, name, entries[name], end - begin)
        if 8 + header_length + end > file_length:
            raise CorruptCheckpoint(
                f"{path} is cut short: tensor {name!r} ends at byte {8 + header_length + end}, "
                f"the file at {file_length}; download or copy it again"
            )


def _check_entry(path: Path, name: str, entry: Mapping[str, Any], length: int) -> None:
    """Check a tensor's shape and dtype against its `length` in bytes."""
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if dtype not in BITS:
        raise UnsupportedModel(f"{path}: tensor {name!r} has dtype {dtype}; supported: {', '.join(BITS)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise CorruptCheckpoint(f"{path}: tensor {name!r} has no valid shape: download or copy it again")
    if math.prod(shape) * BITS[dtype] // 8 != length:
        raise CorruptCheckpoint(
            f"{path}: tensor {name!r} of shape {shape} and dtype {dtype} cannot have {length} bytes: "
            "download or copy it again"
        )


def _load_pickle(path: Path) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CorruptCheckpoint(
            f"{path} is damaged, or holds more than tensors, which could run code: use a safetensors file"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise CorruptCheckpoint(
            f"{path} is damaged or in the format from before torch 1.6: "
            "download it again, or save it again with a newer torch"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CorruptCheckpoint(f"{path} does not map names to tensors: it is no weights file")
    return content
