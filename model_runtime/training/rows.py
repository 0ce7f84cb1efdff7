"""Rows of tokens in .npy files.

A token is a uint16, or a uint32 where the vocabulary needs it; its highest bit marks the tokens of a middle.
Files are at most 55 MB large, so that they can be copied to another machine, and are memory-mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.unsignedinteger[Any]]

MAX_FILE_BYTES = 55_000_000
HEADER_BYTES = 1024  # of a file, at most


def row_type(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds a token and the bit that marks middles."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 15 else np.uint32)


def middle_bit(row_type: np.dtype[np.unsignedinteger[Any]]) -> int:
    """The highest bit, which marks the tokens of a middle."""
    return 1 << (8 * row_type.itemsize - 1)


class RowFiles:
    """All rows of one kind, by number, whatever file they are in."""

    def __init__(self, files: Sequence[Rows]) -> None:
        assert files, "there is at least one file of rows"
        self._files = files
        self._starts = np.cumsum([0, *map(len, files)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def length(self) -> int:
        """Tokens in a row."""
        return int(self._files[0].shape[1])

    def __getitem__(self, numbers: NDArray[np.int64]) -> Rows:
        """The rows of these numbers, in their order."""
        files = np.searchsorted(self._starts, numbers, side="right") - 1
        picked = [
            self._files[file][number - self._starts[file]]
            for file, number in zip(files, numbers, strict=True)
        ]
        return np.stack(picked)


def write_row_files(rows: Rows, folder: Path, name: str, max_bytes: int = MAX_FILE_BYTES) -> int:
    """Write `name-000.npy`, `name-001.npy`, … in place of earlier ones; returns how many."""
    for old in folder.glob(f"{name}-*.npy"):
        old.unlink()
    rows_per_file = max(1, (max_bytes - HEADER_BYTES) // (rows.shape[1] * rows.itemsize))
    starts = range(0, len(rows), rows_per_file)
    for number, start in enumerate(starts):
        np.save(folder / f"{name}-{number:03}.npy", rows[start : start + rows_per_file])
    return len(starts)


def read_row_files(folder: Path, name: str) -> RowFiles:
    """Open what `write_row_files` wrote.

    Raises:
        FileNotFoundError: there is nothing.
    """
    paths = sorted(folder.glob(f"{name}-*.npy"))
    if not paths:
        raise FileNotFoundError(f"there is no {folder / name}-000.npy: pack examples into rows first")
    return RowFiles([np.load(path, mmap_mode="r") for path in paths])
