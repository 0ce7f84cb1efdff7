"""FIMBLE_NATIVE: whether the engine is to be built."""

from __future__ import annotations

import os
from enum import Enum

from native_build.compilers import NativeBuildError

LEFT_OUT = "the native engine was left out, models will run through torch"


class Wanted(Enum):
    NO = "0"
    IF_POSSIBLE = "1"
    REQUIRED = "required"


def wanted() -> Wanted:
    """Raises NativeBuildError if it is none of these."""
    value = os.environ.get("FIMBLE_NATIVE") or "1"
    try:
        return Wanted(value)
    except ValueError:
        raise NativeBuildError(f"FIMBLE_NATIVE is {value!r}: set it to 0, 1 or required") from None
