"""Compares two traces part by part.

The measure is the norm of a token's difference relative to the norm of its activations, since rounding errors
grow with them, as a root mean square over tokens: trained models have single tokens with a thousand times the
norm of others, and in half precision single elements say little.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from model_runtime.api import GreedyComparison, PartDifference
from model_runtime.checkpoints.verification.trace import Trace, TracePoint, interleaved, trace_points
from model_runtime.decoding import DecoderConfig


def compare_parts(
    decoder: Trace, reference: Trace, config: DecoderConfig, tolerance: float
) -> list[PartDifference]:
    """The difference at every trace point, in the order of computation."""
    parts = _in_reference_order(decoder, reference, config)
    return [
        _difference(point, parts[point], reference.parts[point], tolerance)
        for point in trace_points(config.layers)
    ]


def compare_greedy(decoder: Trace, reference: Trace, tolerance: float) -> GreedyComparison:
    """How long the continuations are equal.

    Where they differ first, both tokens may be equally likely up to rounding, as is common in half precision;
    that is a tie, not a mistake.
    """
    pairs = list(zip(decoder.tokens, reference.tokens, strict=True))
    equal = next((step for step, (ours, theirs) in enumerate(pairs) if ours != theirs), len(pairs))
    if equal == len(pairs):
        return GreedyComparison(equal, len(pairs), tie=False)
    ours, theirs = pairs[equal]
    logits = reference.steps[equal].float()
    # Both logits may be off by the tolerance, in opposite directions.
    margin = 2 * tolerance * max(1.0, float(logits.abs().max()))
    return GreedyComparison(equal, len(pairs), tie=float(logits[theirs] - logits[ours]) <= margin)


def _difference(
    point: TracePoint, activations: Tensor, reference: Tensor, tolerance: float
) -> PartDifference:
    """Both tensors are (length, …)."""
    assert activations.shape == reference.shape, f"{point}: {activations.shape} and {reference.shape}"
    expected = reference.float().flatten(1)
    difference = activations.float().flatten(1) - expected
    largest = difference.abs().amax(dim=1).nan_to_num(nan=torch.inf)  # (length,)
    # If the norm is 0, only 0 is equal.
    shares = difference.norm(dim=1) / expected.norm(dim=1).clamp(min=torch.finfo(expected.dtype).tiny)
    relative = float(shares.square().mean().sqrt().nan_to_num(nan=torch.inf))
    token = int(largest.argmax())
    return PartDifference(
        point.part, point.layer, token, float(largest[token]), relative, relative <= tolerance
    )


def _in_reference_order(
    decoder: Trace, reference: Trace, config: DecoderConfig
) -> Mapping[TracePoint, Tensor]:
    """The decoder's parts, with the elements of queries and keys in transformers' order.

    The decoder rotates the two halves of a head, some families interleaved pairs. Scores are the same either
    way; of the two orders, the family's is the one that fits all queries and keys better.
    """
    if config.rotary is None:
        return decoder.parts
    rotated = [point for point in decoder.parts if point.part in ("queries", "keys")]
    pairs = {point: interleaved(decoder.parts[point], config.rotary.dim) for point in rotated}

    def distance(parts: Mapping[TracePoint, Tensor]) -> float:
        return sum(
            float((parts[point].float() - reference.parts[point].float()).abs().sum()) for point in rotated
        )

    return {**decoder.parts, **pairs} if distance(pairs) < distance(decoder.parts) else decoder.parts
