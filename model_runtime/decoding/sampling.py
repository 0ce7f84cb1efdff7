"""Chooses the next token from logits: greedily, or by temperature, top-k and top-p."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.decoding.logits import Logits


class Sampler:
    """Chooses one token after another; the same seed draws the same tokens from the same logits.

    Args:
        temperature: divides the logits; 0 is greedy, and the other settings have no effect then.
        top_k: sample from the k most likely tokens only; 0 is off.
        top_p: sample from the fewest tokens that together have this probability (nucleus sampling,
            Holtzman et al., arXiv:1904.09751); 1 is off. Applied after `top_k`.
        seed: None takes one from the operating system.
    """

    def __init__(
        self, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int | None = None
    ) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        # Users may give any integer, numpy takes no negative one.
        self._generator = np.random.default_rng(None if seed is None else seed % 2**63)

    def __call__(self, logits: Logits) -> int:
        """The next token's id, from logits (vocab,).

        Raises:
            ValueError: they are not numbers.
        """
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = self._candidates(logits)
        return int(self._generator.choice(ids, p=probabilities / probabilities.sum()))

    def _candidates(self, logits: Logits) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """The tokens to sample from, most likely first: weights, which need not sum to 1, and ids."""
        ids = np.argsort(-logits, kind="stable")[: self._top_k or None]
        best = logits[ids].astype(np.float64)
        # Relative to the largest, and with a lower bound for the divisor: neither inf - inf nor 0 / 0 occurs.
        weights = np.exp((best - best[0]) / max(self._temperature, 1e-6))
        probabilities = weights / weights.sum()
        before = probabilities.cumsum() - probabilities
        return probabilities * (before < self._top_p), ids
