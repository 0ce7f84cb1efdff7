"""The two sizes of the default model: for an hour on two CPU cores, and for half an hour on one GPU.

In an hour two cores read some 10 to 20 million tokens. A model that learns from so few is small, and so is
its vocabulary, whose embedding would otherwise be most of the model. Nor does it learn PSM, where the suffix
stands between the prefix and its continuation, so few of its examples are in PSM. The GPU's model has 31M
parameters: as many as fit into the package in int8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SizeName = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Size:
    """A shape, and how it is trained."""

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int
    rows_per_step: int
    rows_at_once: int
    minutes: float
    megabytes: float  # of text
    package_megabytes: float  # of text of one package, at most
    psm: float  # share of PSM among fill-in-the-middle examples; the others are SPM


SIZES: dict[SizeName, Size] = {
    "cpu": Size(4096, 768, 192, 4, 3, 6, 3, 60, 60, 1.5, 0.1),
    "gpu": Size(16384, 2048, 512, 8, 8, 64, 16, 23, 2000, 40, 0.5),
}
