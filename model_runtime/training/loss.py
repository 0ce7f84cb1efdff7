"""The training loss, and exact match of middles, which training is monitored by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model_runtime.training.rows import Rows, middle_bit

Network = Callable[[Tensor], Tensor]
"""Tokens (rows, length) to logits (rows, length, vocab_size)."""


def to_tensors(rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """The tokens of rows (rows, length), and whether each belongs to a middle, on a device."""
    bit = middle_bit(rows.dtype)
    tokens, in_middle = torch.from_numpy((rows & (bit - 1)).astype(np.int64)), torch.from_numpy(rows >= bit)
    return tokens.to(device, non_blocking=True), in_middle.to(device, non_blocking=True)


def cross_entropy(
    network: Network,
    tokens: Tensor,
    in_middle: Tensor,
    padding: int,
    z_loss: float = 0.0,
    middle_weight: float = 1.0,
) -> Tensor:
    """Mean cross-entropy in nats a token.

    Args:
        network: what is trained.
        tokens: (rows, length).
        in_middle: whether a token belongs to a middle, (rows, length).
        padding: the token that is ignored.
        z_loss: weight of the squared log-partition function, which keeps logits small (PaLM).
        middle_weight: weight of a middle's tokens relative to others. In SPM all text that is read teaches to
            continue it. In PSM only middles teach to continue the prefix across the suffix, and they are few.
    """
    targets = tokens[:, 1:].flatten()
    logits = network(tokens[:, :-1]).flatten(0, 1).float()  # (rows · (length - 1), vocab_size)
    sums = logits.logsumexp(-1)
    losses = sums - logits.gather(1, targets[:, None])[:, 0]
    weights = 1.0 + (middle_weight - 1.0) * in_middle[:, 1:].flatten()
    weights = torch.where(targets == padding, 0.0, weights)
    loss = (losses * weights).sum() / weights.sum()
    return loss + z_loss * sums.square().mean() if z_loss else loss


def middles_matched(network: Network, tokens: Tensor, in_middle: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Of each row, whether greedy decoding gives its middle, and whether it gives the end of text then.

    One forward pass is enough: if each token is the most likely one after the true tokens before it, greedy
    decoding gives all of them. The right text in other tokens than the tokenizer's own counts as a miss.

    Args:
        network: what is measured.
        tokens: (rows, length), with one middle in each row.
        in_middle: whether a token belongs to the middle or ends it, (rows, length).
        end: the end of text.

    Returns:
        Two boolean tensors (rows,).
    """
    right = network(tokens[:, :-1]).argmax(-1) == tokens[:, 1:]
    in_middle, is_end = in_middle[:, 1:], tokens[:, 1:] == end
    return (right | ~in_middle | is_end).all(-1), (right | ~in_middle | ~is_end).all(-1)


@dataclass(frozen=True)
class ExactMatch:
    """Shares of probes by layout: whose middle is matched, and after whose true middle the text ends."""

    psm: float
    spm: float
    psm_ended: float
    spm_ended: float


@torch.no_grad()
def exact_match(
    network: Network, probes: Rows, end: int, rows_at_once: int, device: torch.device
) -> ExactMatch:
    """Exact match on probes: the first half is in PSM, the second in SPM."""
    starts = range(0, len(probes), rows_at_once)
    parts = (to_tensors(probes[start : start + rows_at_once], device) for start in starts)
    found = [middles_matched(network, *part, end) for part in parts]
    matched, ended = (torch.cat(each).float() for each in zip(*found, strict=True))
    half = len(matched) // 2
    halves = (matched[:half], matched[half:], ended[:half], ended[half:])
    return ExactMatch(*(float(each.mean()) for each in halves))
