"""Logits as samplers see them: fp32 in numpy, whatever computed them."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Logits: TypeAlias = NDArray[np.float32]
"""(vocab,), or (rows, vocab)."""


class TensorLike(Protocol):
    """The part of a torch tensor that is used here, so that nothing here imports torch."""

    def __getitem__(self, index: Any, /) -> TensorLike: ...
    def float(self) -> TensorLike: ...
    def cpu(self) -> TensorLike: ...
    def numpy(self) -> NDArray[Any]: ...


def as_logits(found: Logits | TensorLike) -> Logits:
    """A decoder's output in fp32 in numpy; for a tensor on a GPU this waits until it is computed."""
    return found if isinstance(found, np.ndarray) else found.float().cpu().numpy()
