"""A tensor as a file stores it, memory-mapped, for numpy and for torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "uint16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip
"""numpy's dtypes by safetensors' names; numpy has no bf16, of which it gets the bits."""

TORCH_NAMES = {f"torch.{dtype}": name for name, dtype in DTYPES.items() if name != "BF16"} | {
    "torch.bfloat16": "BF16"
}
"""safetensors' names by torch's."""

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, eq=False)
class Stored:
    """A stored tensor; it must not be written to.

    Attributes:
        values: any shape, of the dtype that `DTYPES` has for `dtype`.
        dtype: safetensors' name; torch's where that has none.
    """

    values: NDArray[Any]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    def rows(self, rows: slice) -> Stored:
        """Some of the rows."""
        return replace(self, values=self.values[rows])

    def floats(self) -> NDArray[np.float32]:
        """The values in fp32, which may be the file's own memory."""
        if self.dtype == "BF16":  # the upper half of fp32
            wide: NDArray[np.uint32] = self.values.astype(np.uint32)
            wide <<= 16
            return wide.view(np.float32)
        return self.values.astype(np.float32, copy=False)

    @classmethod
    def of(cls, tensor: Tensor) -> Stored:
        """The memory of a tensor on the CPU."""
        import torch

        if tensor.dtype == torch.bfloat16:
            return cls(tensor.view(torch.int16).numpy().view(np.uint16), "BF16")
        return cls(tensor.numpy(), TORCH_NAMES.get(str(tensor.dtype), str(tensor.dtype)))

    def tensor(self) -> Tensor:
        """The same memory as a tensor."""
        import torch

        if self.dtype == "BF16":
            return torch.from_numpy(self.values.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(self.values)


def map_bytes(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file that is not empty, memory-mapped.

    Raises:
        OSError: it cannot be read.
    """
    # As a private copy, which numpy and torch take for writable; only what is written to would be copied.
    return np.asarray(np.memmap(path, np.uint8, "c"))


def tensor_at(mapped: NDArray[np.uint8], start: int, end: int, dtype: str, shape: tuple[int, ...]) -> Stored:
    """The tensor in these bytes of a mapped file."""
    values = mapped[start:end].view(DTYPES[dtype]).reshape(shape)
    return Stored(values if values.flags.aligned else values.copy(), dtype)
