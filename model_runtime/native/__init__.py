"""The native CPU engine: a decoder of quantised weights, computed by a library of ours in C++.

numpy is imported with what needs it, not to find out whether there is a library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from model_runtime.native.library import GROUP, kernels, native_problem

if TYPE_CHECKING:
    from model_runtime.native.blocks import BlockPool
    from model_runtime.native.cache import NativeCache
    from model_runtime.native.decoder import NativeDecoder, NativeWeight
    from model_runtime.native.matrices import (
        Bits,
        GroupedMatrix,
        GroupedRows,
        join_rows,
        pack,
        quantize_rows,
        with_row_scales,
    )

__all__ = [
    "GROUP",
    "Bits",
    "BlockPool",
    "GroupedMatrix",
    "GroupedRows",
    "NativeCache",
    "NativeDecoder",
    "NativeWeight",
    "join_rows",
    "kernels",
    "native_problem",
    "pack",
    "quantize_rows",
    "with_row_scales",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in ("blocks", "cache", "decoder", "matrices"):
            found = vars(import_module(f"{__name__}.{module}"))
            if name in found:
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
