"""The native CPU engine: a decoder of quantised weights, computed by a library of ours in C++."""

from model_runtime.native.blocks import BlockPool
from model_runtime.native.cache import NativeCache
from model_runtime.native.decoder import NativeDecoder, NativeWeight
from model_runtime.native.library import GROUP, kernels, native_problem
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
