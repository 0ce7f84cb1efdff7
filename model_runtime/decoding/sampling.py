"""Chooses the next token from logits: greedily, or by temperature, top-k and top-p."""

from __future__ import annotations

import torch
from torch import Tensor


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
        # On the CPU whatever the device, so that a seed gives the same tokens everywhere.
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed % 2**63)  # torch takes 64 bits, users may give any integer

    @torch.inference_mode()
    def __call__(self, logits: Tensor) -> int:
        """The next token's id, from logits (vocab,) in fp32."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = self._candidates(logits.cpu())
        choice = torch.multinomial(probabilities, 1, generator=self._generator)
        return int(ids[choice])

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens to sample from, most likely first: weights, which need not sum to 1, and ids."""
        count = min(self._top_k or len(logits), len(logits))
        best, ids = logits.topk(count)  # sorted
        # Relative to the largest, and with a lower bound for the divisor: neither inf - inf nor 0 / 0 occurs.
        probabilities = torch.softmax((best - best[0]) / max(self._temperature, 1e-6), dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        return probabilities * (before < self._top_p), ids
