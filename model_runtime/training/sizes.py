"""The recipe in two sizes: what one GPU trains in half an hour, and what two CPU cores do in little more.

On a CPU a token of the smaller one costs 18 MFLOP, of which the head takes half; a larger vocabulary
would make text shorter, but cost more than it saves. The GPU's has 31M parameters: in int8 as much as the
package may hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SizeName = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Size:
    """A shape and how it is trained, on `megabytes` of text, at most `package_megabytes` of a package."""

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int
    rows_per_step: int
    rows_at_once: int
    minutes: float
    megabytes: float
    package_megabytes: float


SIZES: dict[SizeName, Size] = {
    "cpu": Size(8192, 1024, 192, 4, 3, 4, 2, 75, 120, 1.5),
    "gpu": Size(16384, 2048, 512, 8, 8, 64, 16, 23, 2000, 40),
}
