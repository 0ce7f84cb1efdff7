"""What training makes smaller, and what it is watched by.

network ▶ **loss** ▶ train.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model_runtime.training.rows import MIDDLE, Rows

Network = Callable[[Tensor], Tensor]
"""Tokens (rows, length) to logits (rows, length, vocab_size)."""


def loss_of(
    network: Network, rows: Tensor, padding: int, z_loss: float = 0.0, middle_weight: float = 1.0
) -> Tensor:
    """Mean cross-entropy in nats a token over rows (rows, length) that are not padding.

    Args:
        network: what is trained.
        rows: as packed, with the bit of middles.
        padding: the token that counts nothing.
        z_loss: how much the squared logarithm of the softmax's sum adds, which keeps logits small (PaLM).
        middle_weight: how much more a middle's token counts. In SPM whoever reads on learns to write middles.
            In PSM only they teach to take up the prefix again, and they are few.
    """
    tokens = rows & (MIDDLE - 1)
    targets = tokens[:, 1:].flatten()
    logits = network(tokens[:, :-1]).flatten(0, 1).float()  # (rows · (length - 1), vocab_size)
    sums = logits.logsumexp(-1)
    losses = sums - logits.gather(1, targets[:, None])[:, 0]
    weights = 1.0 + (middle_weight - 1.0) * (rows[:, 1:].flatten() >= MIDDLE)
    weights = torch.where(targets == padding, 0.0, weights)
    loss = (losses * weights).sum() / weights.sum()
    return loss + z_loss * sums.square().mean() if z_loss else loss


def middles_met(network: Network, rows: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Of each row (rows, length), whether its middle is what the network writes greedily, and whether it then
    ends; both (rows,).

    Given the true tokens before it, each is the likeliest: then so they are without being given. What is
    written in other tokens than the tokenizer's own counts as missed.
    """
    tokens = rows & (MIDDLE - 1)
    right = network(tokens[:, :-1]).argmax(-1) == tokens[:, 1:]
    in_middle, is_end = rows[:, 1:] >= MIDDLE, tokens[:, 1:] == end
    return (right | ~in_middle | is_end).all(-1), (right | ~in_middle | ~is_end).all(-1)


@dataclass(frozen=True)
class Layouts:
    """Shares of probes: in each layout those met exactly, and those after which the network ends."""

    psm: float
    spm: float
    psm_ended: float
    spm_ended: float


@torch.no_grad()
def layouts_met(network: Network, probes: Rows, end: int, rows_at_once: int, device: str = "cpu") -> Layouts:
    """How far probes are met, whose first half is in PSM and second in SPM."""
    starts = range(0, len(probes), rows_at_once)
    parts = (probes[start : start + rows_at_once].astype(np.int64) for start in starts)
    found = [middles_met(network, torch.from_numpy(part).to(device), end) for part in parts]
    met, ended = (torch.cat(each).float() for each in zip(*found, strict=True))
    half = len(met) // 2
    halves = (met[:half], met[half:], ended[:half], ended[half:])
    return Layouts(*(float(each.mean()) for each in halves))
