"""The recipe in two sizes: what one GPU trains in half an hour, and what two CPU cores do in an hour.

In an hour two cores read some 10 to 20 million tokens. A model that is to learn from so few is small, and
most of a small one would be a large vocabulary's embedding. Nor does it learn PSM, in which the text to go on
with is far from where it goes on, so that it is given little of it. The GPU's has 31M parameters: in int8 as
much as the package may hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SizeName = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Size:
    """A shape and how it is trained, on `megabytes` of text, at most `package_megabytes` of a package.

    `psm` is the share of PSM among the examples with a middle; the others are SPM.
    """

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
    psm: float


SIZES: dict[SizeName, Size] = {
    "cpu": Size(4096, 768, 192, 4, 3, 6, 3, 60, 60, 1.5, 0.1),
    "gpu": Size(16384, 2048, 512, 8, 8, 64, 16, 23, 2000, 40, 0.5),
}
