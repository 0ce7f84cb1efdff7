"""Rows of tokens as files: what packing writes and training reads.

packing ▶ **rows** ▶ train. A row is a line of uint16; the highest bit marks tokens that belong to a middle.
Rows lie in files of at most 55 MB, so that they travel to a machine without a network, and are read in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint16]
MIDDLE = 1 << 15
"""The bit of a middle's tokens; a vocabulary may have as many tokens as stand below it."""

LARGEST_FILE = 55_000_000  # bytes
HEADER = 1024  # bytes of a file that are not rows, or less


class RowFiles:
    """All rows of one kind in a folder, by their number."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        assert parts, "there is at least one file of rows"
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def length(self) -> int:
        """How many tokens a row has."""
        return int(self._parts[0].shape[1])

    def __getitem__(self, numbers: NDArray[np.int64]) -> Rows:
        """The rows of these numbers, in their order."""
        parts = np.searchsorted(self._starts, numbers, side="right") - 1
        picked = [
            self._parts[part][number - self._starts[part]]
            for part, number in zip(parts, numbers, strict=True)
        ]
        return np.stack(picked)


def write_row_files(rows: Rows, folder: Path, name: str, largest: int = LARGEST_FILE) -> int:
    """Write `name-000.npy`, `name-001.npy`, … in place of those that are there; returns how many."""
    for old in folder.glob(f"{name}-*.npy"):
        old.unlink()
    each = max(1, (largest - HEADER) // (rows.shape[1] * rows.itemsize))
    parts = range(0, len(rows), each)
    for number, start in enumerate(parts):
        np.save(folder / f"{name}-{number:03}.npy", rows[start : start + each])
    return len(parts)


def read_row_files(folder: Path, name: str) -> RowFiles:
    """What `write_row_files` wrote.

    Raises:
        FileNotFoundError: there is nothing.
    """
    paths = sorted(folder.glob(f"{name}-*.npy"))
    if not paths:
        raise FileNotFoundError(f"there is no {folder / name}-000.npy: run the step `pack` first")
    return RowFiles([np.load(path, mmap_mode="r") for path in paths])
