"""What the native engine's tests have in common. Imports no torch: products are tested without it, too."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from model_runtime.native.library import GROUP, kernels, library, native_problem
from model_runtime.native.matrices import Bits, Floats, GroupedRows, pack

needs_native = pytest.mark.skipif(native_problem() is not None, reason=str(native_problem()))

without_sanitizers = pytest.mark.skipif(
    "san.so" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers end the process where memory runs out"
)

KERNELS = [] if native_problem() else kernels()
"""Tests with these as a parameter are skipped where there are none."""

FORMATS: dict[str, tuple[Bits, int, bool]] = {
    "8 bits": (8, 0, False),
    "8 bits, minima": (8, 0, True),
    "8 bits, an offset": (8, 3, True),
    "4 bits": (4, 0, False),
    "4 bits, minima": (4, 0, True),
    "4 bits, an offset": (4, 8, False),
    "4 bits, both": (4, 8, True),
}
"""Bits, offset, and whether there are minima."""


def limits(bits: Bits) -> tuple[int, int]:
    """The least and the greatest integer of a format."""
    return (-128, 127) if bits == 8 else (0, 15)


def make_rows(
    values: NDArray[np.int64], bits: Bits, offset: int, minima: NDArray[np.int64] | None
) -> GroupedRows:
    """Rows whose scales are 1."""
    groups = -(-values.shape[1] // GROUP)
    return GroupedRows(
        values.astype(np.int8 if bits == 8 else np.uint8),
        np.ones((len(values), groups), np.float16),
        None if minima is None else minima.astype(np.float16),
        bits,
        offset,
    )


def random_rows(
    random: np.random.Generator, shape: tuple[int, int], bits: Bits, offset: int, with_minima: bool
) -> GroupedRows:
    """Rows of all that a format can have, with weights of about 1."""
    low, high = limits(bits)
    groups = (shape[0], -(-shape[1] // GROUP))
    values = random.integers(low, high, shape, endpoint=True)
    minima = random.normal(size=groups).astype(np.float16) if with_minima else None
    scales = (random.normal(size=groups) / high).astype(np.float16)
    return GroupedRows(values.astype(np.int8 if bits == 8 else np.uint8), scales, minima, bits, offset)


def product(rows: GroupedRows, x: Floats, name: str) -> Floats:
    """The product of activations, (tokens, columns), with a matrix, by the kernels of that name."""
    matrix, x = pack(rows), np.ascontiguousarray(x, np.float32)
    out = np.full((len(x), matrix.shape[0]), np.nan, np.float32)
    status = library().fimble_product(matrix.struct(), x.ctypes.data, len(x), out.ctypes.data, name.encode())
    assert status == 0
    return out


def same_bits(first: Floats, second: Floats) -> bool:
    """Whether arrays are equal, NaNs too."""
    return first.shape == second.shape and first.tobytes() == second.tobytes()
