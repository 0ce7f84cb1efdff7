"""Our decoder, watched at work: one side of `verify`.

A copy of the decoder is made whose layers are wrapped; weights are shared. So the decoder itself has no place
to be watched from, and no step is slower for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from model_runtime.checkpoints.verification.trace import Spot, Trace
from model_runtime.decoding import Decoder, generate


@torch.inference_mode()
def trace_ours(decoder: Decoder, tokens: Sequence[int], steps: int) -> Trace:
    """Compute `tokens` and as many greedy `steps` after them.

    The prompt is computed at once, and once more in the pieces of a completion for the continuation, which is
    the way that users' completions go.
    """
    trace = Trace()
    products: dict[int, Tensor] = {}
    watched = _watched(decoder, trace, products)
    trace.see(Spot("logits"), watched.forward(tokens, watched.new_cache(len(tokens)), "all"))
    # The decoder turns queries and keys where the projection wrote them, so only now are they what is sought.
    for layer, product in products.items():
        _see_heads(decoder, trace, layer, product)
    cache = decoder.new_cache(len(tokens) + steps - 1)  # nothing follows the last one
    for _ in generate(decoder, cache, tokens, trace.choose, max_tokens=steps):
        pass
    return trace


def _watched(decoder: Decoder, trace: Trace, products: dict[int, Tensor]) -> Decoder:
    """A copy that shows `trace` what its parts give, and puts each block's q, k, v into `products`."""
    watched = copy(decoder)
    blocks: list[Any] = [
        _watched_block(block, layer, trace, products) for layer, block in enumerate(decoder._blocks)
    ]
    watched._blocks = blocks
    watched._graphs = None  # a recorded step shows nothing
    watched._final_norm = _tap(decoder._final_norm, partial(trace.see, Spot("final norm")))
    return watched


def _watched_block(
    block: Any, layer: int, trace: Trace, products: dict[int, Tensor]
) -> Callable[..., Tensor]:
    attention = replace(
        block.attention,
        qkv=_tap(block.attention.qkv, partial(products.__setitem__, layer)),
        out=_tap_adding(block.attention.out, partial(trace.see, Spot("attention", layer))),
    )
    mlp = _tap_adding(block.mlp, partial(trace.see, Spot("MLP", layer)))
    inner = replace(block, attention=attention, mlp=mlp)

    def run(x: Tensor, step: Any) -> Tensor:
        if layer == 0:
            trace.see(Spot("embedding"), x)
        output: Tensor = inner(x, step)
        trace.see(Spot("block", layer), output)
        return output

    return run


def _tap(layer: Callable[..., Tensor], see: Callable[[Tensor], None]) -> Callable[..., Tensor]:
    def run(*inputs: Any) -> Tensor:
        output = layer(*inputs)
        see(output)
        return output

    return run


def _tap_adding(layer: Callable[..., Tensor], see: Callable[[Tensor], None]) -> Callable[..., Tensor]:
    """A tap on what is added, for a layer that adds it to its last input."""

    def run(*inputs: Any) -> Tensor:
        alone: Tensor = layer(*inputs[:-1], torch.zeros_like(inputs[-1]))
        see(alone)
        return alone.add(inputs[-1])

    return run


def _see_heads(decoder: Decoder, trace: Trace, layer: int, product: Tensor) -> None:
    """`product` is (length, rows of `qkv`)."""
    config = decoder.config
    heads = product.view(len(product), -1, config.head_dim)
    q, k, v = torch.split(heads, [config.heads, config.kv_heads, config.kv_heads], dim=1)
    trace.see(Spot("queries", layer), q)
    trace.see(Spot("keys", layer), k)
    trace.see(Spot("values", layer), v)
