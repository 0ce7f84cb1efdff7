"""Two traces held against each other: how far apart each part is, and where it first is too far.

What counts is the length of a token's difference as a share of the length of its activations, since rounding
grows with them, and its root mean square over tokens: trained models have single tokens that are a thousand
times as long as others, and in half precision single elements say little.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from model_runtime.api import GreedyComparison, PartDifference
from model_runtime.checkpoints.verification.trace import Spot, Trace, interleaved, spots
from model_runtime.decoding import DecoderConfig


def compare_parts(
    ours: Trace, theirs: Trace, config: DecoderConfig, tolerance: float
) -> list[PartDifference]:
    """The difference at every spot, in the order of computation."""
    parts = _in_their_order(ours, theirs, config)
    return [_difference(spot, parts[spot], theirs.parts[spot], tolerance) for spot in spots(config.layers)]


def compare_greedy(ours: Trace, theirs: Trace, tolerance: float) -> GreedyComparison:
    """How long the continuations are equal.

    Where they part, the tokens may be as likely as each other but for rounding, which in half precision they
    often are; that is a tie, and no mistake.
    """
    pairs = list(zip(ours.tokens, theirs.tokens, strict=True))
    equal = next((step for step, (mine, other) in enumerate(pairs) if mine != other), len(pairs))
    if equal == len(pairs):
        return GreedyComparison(equal, len(pairs), tie=False)
    mine, other = pairs[equal]
    logits = theirs.steps[equal].float()
    # Both logits may be off by the tolerance, towards each other.
    room = 2 * tolerance * max(1.0, float(logits.abs().max()))
    return GreedyComparison(equal, len(pairs), tie=float(logits[other] - logits[mine]) <= room)


def _difference(spot: Spot, ours: Tensor, theirs: Tensor, tolerance: float) -> PartDifference:
    """Both are (length, …)."""
    assert ours.shape == theirs.shape, f"{spot}: {tuple(ours.shape)} and {tuple(theirs.shape)}"
    other = theirs.float().flatten(1)
    apart = ours.float().flatten(1) - other
    farthest = apart.abs().amax(dim=1).nan_to_num(nan=torch.inf)  # (length,)
    # A length of 0 is one that only 0 is equal to.
    shares = apart.norm(dim=1) / other.norm(dim=1).clamp(min=torch.finfo(other.dtype).tiny)
    relative = float(shares.square().mean().sqrt().nan_to_num(nan=torch.inf))
    token = int(farthest.argmax())
    return PartDifference(
        spot.part, spot.layer, token, float(farthest[token]), relative, relative <= tolerance
    )


def _in_their_order(ours: Trace, theirs: Trace, config: DecoderConfig) -> Mapping[Spot, Tensor]:
    """Our parts, with the elements of queries and keys in the order that transformers has them in.

    Partners in a rotation lie half a rotation apart in our heads; in some families, side by side. Scores are
    the same either way, so long as queries and keys agree on it: of the two orders, the one that fits the
    whole of both better is the family's, and the other one fits nowhere.
    """
    if config.rotary is None:
        return ours.parts
    turned = [spot for spot in ours.parts if spot.part in ("queries", "keys")]
    neighbours = {spot: interleaved(ours.parts[spot], config.rotary.dim) for spot in turned}

    def apart(parts: Mapping[Spot, Tensor]) -> float:
        return sum(float((parts[spot].float() - theirs.parts[spot].float()).abs().sum()) for spot in turned)

    return {**ours.parts, **neighbours} if apart(neighbours) < apart(ours.parts) else ours.parts
