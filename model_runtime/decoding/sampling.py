"""Logits to a token id: greedy, or drawn after temperature, top-k and top-p."""

from __future__ import annotations

import torch
from torch import Tensor


class Sampler:
    """Chooses one token after another; the same seed draws the same tokens from the same logits.

    Args:
        temperature: divides the logits; 0 always takes the likeliest token, and nothing else matters then.
        top_k: draw among the k likeliest only; 0 is off.
        top_p: draw among the fewest tokens that together have this probability (nucleus sampling,
            Holtzman et al., arXiv:1904.09751); 1 is off. Applied after `top_k`.
        seed: of the draws; None takes one from the operating system.
    """

    def __init__(
        self, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int | None = None
    ) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        # On the CPU whatever the device, so that a seed means the same everywhere.
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed % 2**63)  # torch takes 64 bits, the user may give any integer

    @torch.inference_mode()
    def __call__(self, logits: Tensor) -> int:
        """The next token's id, from logits (vocab,) in fp32."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = self._candidates(logits.cpu())
        choice = torch.multinomial(probabilities, 1, generator=self._generator)
        return int(ids[choice])

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What may be drawn, likeliest first: weights that need not add up to 1, and token ids."""
        count = min(self._top_k or len(logits), len(logits))
        best, ids = logits.topk(count)  # sorted
        # Counted from the largest and divided by no less than float32 can hold: never inf - inf, nor 0 / 0.
        probabilities = torch.softmax((best - best[0]) / max(self._temperature, 1e-6), dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        return probabilities * (before < self._top_p), ids
