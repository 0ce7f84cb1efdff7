"""Traces fimble's decoder, for `fimble verify`.

The layers of a copy of the decoder, which shares its weights, are wrapped; the decoder itself needs no hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from model_runtime.checkpoints.verification.trace import Trace, TracePoint
from model_runtime.decoding import Logits, generate
from model_runtime.torch_decoder import Decoder


@torch.inference_mode()
def trace_decoder(decoder: Decoder, tokens: Sequence[int], steps: int) -> Trace:
    """Compute `tokens`, and `steps` greedy tokens after them.

    The prompt is computed at once, and again in prefill chunks for the continuation, as in a completion.
    """
    trace = Trace()
    projected: dict[int, Tensor] = {}
    recording = _recording_copy(decoder, trace, projected)
    trace.record(TracePoint("logits"), recording.forward(tokens, recording.new_cache(len(tokens)), "all"))
    # The decoder rotates queries and keys in place, in the projection's output.
    for layer, product in projected.items():
        _record_heads(decoder, trace, layer, product)
    cache = decoder.new_cache(len(tokens) + steps - 1)  # the last token is not computed

    def choose(logits: Logits) -> int:
        return trace.choose(torch.from_numpy(logits))

    for _ in generate(decoder, cache, tokens, choose, max_tokens=steps):
        pass
    return trace


def _recording_copy(decoder: Decoder, trace: Trace, projected: dict[int, Tensor]) -> Decoder:
    """A copy that records its parts in `trace`, and each block's q, k, v in `projected`."""
    recording = copy(decoder)
    blocks: list[Any] = [
        _recording_block(block, layer, trace, projected) for layer, block in enumerate(decoder._blocks)
    ]
    recording._blocks = blocks
    recording._graphs = None  # a graph's parts cannot be recorded
    recording._final_norm = _recorded(decoder._final_norm, partial(trace.record, TracePoint("final norm")))
    return recording


def _recording_block(
    block: Any, layer: int, trace: Trace, projected: dict[int, Tensor]
) -> Callable[..., Tensor]:
    attention = replace(
        block.attention,
        qkv=_recorded(block.attention.qkv, partial(projected.__setitem__, layer)),
        out=_recorded_residual(block.attention.out, partial(trace.record, TracePoint("attention", layer))),
    )
    mlp = _recorded_residual(block.mlp, partial(trace.record, TracePoint("MLP", layer)))
    inner = replace(block, attention=attention, mlp=mlp)

    def run(x: Tensor, step: Any) -> Tensor:
        if layer == 0:
            trace.record(TracePoint("embedding"), x)
        output: Tensor = inner(x, step)
        trace.record(TracePoint("block", layer), output)
        return output

    return run


def _recorded(layer: Callable[..., Tensor], record: Callable[[Tensor], None]) -> Callable[..., Tensor]:
    def run(*inputs: Any) -> Tensor:
        output = layer(*inputs)
        record(output)
        return output

    return run


def _recorded_residual(
    layer: Callable[..., Tensor], record: Callable[[Tensor], None]
) -> Callable[..., Tensor]:
    """Record what a layer adds to its last input, the residual."""

    def run(*inputs: Any) -> Tensor:
        alone: Tensor = layer(*inputs[:-1], torch.zeros_like(inputs[-1]))
        record(alone)
        return alone.add(inputs[-1])

    return run


def _record_heads(decoder: Decoder, trace: Trace, layer: int, product: Tensor) -> None:
    """`product` is (length, rows of `qkv`)."""
    config = decoder.config
    heads = product.view(len(product), -1, config.head_dim)
    q, k, v = torch.split(heads, [config.heads, config.kv_heads, config.kv_heads], dim=1)
    trace.record(TracePoint("queries", layer), q)
    trace.record(TracePoint("keys", layer), k)
    trace.record(TracePoint("values", layer), v)
