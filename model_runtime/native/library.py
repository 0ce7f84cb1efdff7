"""Loads the native library and declares its C interface, `src/interface.h`.

It is built together with the package where there is a C++ compiler. Without it the runtime computes on the
CPU with torch.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from functools import lru_cache
from pathlib import Path

INTERFACE = 1
"""Must equal `FIMBLE_INTERFACE`: a library from another version is not used."""

BLOCK_TOKENS = 64
"""Tokens in a block of the KV cache, `FIMBLE_BLOCK_TOKENS`."""

ROWS, GROUP = 16, 32
"""Rows of a matrix that are stored together, and values of a row that have a common scale."""

VARIABLE = "FIMBLE_NATIVE_LIBRARY"
"""Environment variable: the path of another library, such as one built with sanitizers."""


class Unavailable(Exception):
    """There is no native library; the message says why, in one line."""


class MatrixStruct(Structure):
    """`FimbleMatrix`"""

    _fields_ = (
        ("values", c_void_p),
        ("scales", c_void_p),
        ("minima", c_void_p),
        ("rows", c_int32),
        ("columns", c_int32),
        ("bits", c_int32),
        ("offset", c_int32),
    )


class ConfigStruct(Structure):
    """`FimbleConfig`"""

    _fields_ = (
        *(
            (name, c_int32)
            for name in ("vocab_size", "context_length", "width", "layers", "heads", "kv_heads")
        ),
        *((name, c_int32) for name in ("head_dim", "mlp_width", "rotary_dim")),
        *((name, c_int32) for name in ("parallel_block", "rms_norm", "gated_mlp", "activation")),
        *((name, c_float) for name in ("rotary_theta", "rotary_factor", "norm_eps", "attention_scale")),
    )


class LayerStruct(Structure):
    """`FimbleLayer`"""

    _fields_ = (
        *(
            (name, c_void_p)
            for name in ("attention_norm", "attention_norm_bias", "mlp_norm", "mlp_norm_bias")
        ),
        *((name, MatrixStruct) for name in ("qkv", "attention_out", "mlp_up", "mlp_down")),
        *((name, c_void_p) for name in ("qkv_bias", "attention_out_bias", "mlp_up_bias", "mlp_down_bias")),
    )


class WeightsStruct(Structure):
    """`FimbleWeights`"""

    _fields_ = (
        ("embedding", MatrixStruct),
        ("head", MatrixStruct),
        *((name, c_void_p) for name in ("positions", "final_norm", "final_norm_bias", "head_bias")),
        ("layers", POINTER(LayerStruct)),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The library, loaded once.

    Raises:
        Unavailable: there is none, or it does not fit this version.
    """
    path = Path(os.environ.get(VARIABLE) or Path(__file__).with_name(f"fimble_native.{_suffix()}"))
    if not path.is_file():
        raise Unavailable(
            "the native engine was not built: install fimble again where there is a C++ compiler"
        )
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.fimble_interface.restype = c_int32
        found = loaded.fimble_interface()
    except (OSError, AttributeError) as error:
        raise Unavailable(f"{path} cannot be loaded ({error}): install fimble again") from error
    if found != INTERFACE:
        raise Unavailable(f"{path} is from another version of fimble: install fimble again")
    _declare(loaded)
    return loaded


def kernels() -> list[str]:
    """The sets of kernels that this machine can run, the fastest first; raises as `library`."""
    names: bytes = library().fimble_kernels()
    return names.decode().split()


def native_problem() -> str | None:
    """Why the library cannot be used, in one line; None if it can."""
    try:
        library()
    except Unavailable as error:
        return str(error)
    return None


def _suffix() -> str:
    return {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")


def _declare(loaded: ctypes.CDLL) -> None:
    signatures: dict[str, tuple[object, list[object]]] = {
        "fimble_kernels": (c_char_p, []),
        "fimble_open": (c_void_p, [POINTER(ConfigStruct), POINTER(WeightsStruct), c_char_p]),
        "fimble_close": (None, [c_void_p]),
        "fimble_set_threads": (None, [c_void_p, c_int32]),
        "fimble_block_bytes": (c_int64, [c_void_p]),
        "fimble_forward": (
            c_int32,
            [c_void_p, POINTER(c_int32), c_int32, c_int32, POINTER(c_void_p), c_int32, c_int32, c_void_p],
        ),
        "fimble_product": (c_int32, [POINTER(MatrixStruct), c_void_p, c_int32, c_void_p, c_char_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
