"""Muon, an optimizer for matrices (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/).

Momentum, orthogonalized by five Newton–Schulz steps. torch's own Muon iterates in bf16, which is some fifty
times slower than fp32 on a CPU without bf16 units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalize(gradient: Tensor) -> Tensor:
    """Roughly the nearest (semi-)orthogonal matrix to `gradient` (rows, columns): singular values near 1."""
    a, b, c = COEFFICIENTS
    x: Tensor = gradient.T if gradient.shape[0] > gradient.shape[1] else gradient
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if gradient.shape[0] > gradient.shape[1] else x


class Muon(Optimizer):
    """SGD with momentum whose update of each matrix is orthogonalized, at an AdamW-like size per element."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalize(parameter.grad.lerp(buffer, group["momentum"]))
                size = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.add_(update, alpha=-group["lr"] * size)
