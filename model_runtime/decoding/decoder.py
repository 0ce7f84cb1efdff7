"""The one decoder: token ids and a cache in, logits out. Every family is re-laid to it once, at load.

The facts settle at construction which blocks, norms and positions it is built from; a step then runs one
path. Weights are named and laid out as `shapes` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model_runtime.decoding.attention import Attention, Step, causal_mask
from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import DecoderConfig
from model_runtime.decoding.layers import MLP, Layer, LayerNorm, Linear, Projection, RMSNorm, activation
from model_runtime.decoding.positions import LearnedPositions, Positions, RotaryPositions
from model_runtime.decoding.shapes import weight_shapes


@dataclass(frozen=True)
class SequentialBlock:
    """The pre-norm block of Radford et al. 2019: attention, then the MLP on what it wrote."""

    attention_norm: Layer
    attention: Attention
    mlp_norm: Layer
    mlp: MLP

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        """(length, width) → (length, width)"""
        x = x + self.attention(self.attention_norm(x), step)
        return x + self.mlp(self.mlp_norm(x))


@dataclass(frozen=True)
class ParallelBlock:
    """The block of Wang and Komatsuzaki 2021: attention and MLP on one norm's output, added up."""

    norm: Layer
    attention: Attention
    mlp: MLP

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        """(length, width) → (length, width)"""
        normed = self.norm(x)
        return x + self.attention(normed, step) + self.mlp(normed)


Block = SequentialBlock | ParallelBlock


class Decoder:
    """A decoder-only transformer with its weights.

    Args:
        config: the facts.
        weights: exactly the names and shapes of `weight_shapes(config)`, of one dtype. They are kept as they
            are (a memory-mapped file stays one) and never written to. Each block runs on the device that its
            weights are on, which is one for all of a block; learned positions are where the embedding is.
    """

    def __init__(self, config: DecoderConfig, weights: Mapping[str, Tensor]) -> None:
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        assert found == weight_shapes(config), "the loader lets no other weights through"
        self.config = config
        self.parameters = sum(tensor.numel() for tensor in weights.values())
        self._embedding = weights["embedding.weight"]
        self.devices = [weights[f"blocks.{layer}.qkv.weight"].device for layer in range(config.layers)]
        self._positions = {device: _positions(config, weights, device) for device in self.devices}
        self._blocks = [_block(config, weights, layer) for layer in range(config.layers)]
        self._final_norm = _norm(config, weights, "final_norm")
        head = self._embedding if config.tied_head else weights["head.weight"]
        self._norm_device, self._head_device = weights["final_norm.weight"].device, head.device
        self._head: Projection = Linear(head, weights.get("head.bias"))

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        """Where a step begins; `devices` are the blocks'."""
        return self._embedding.device

    def new_cache(self, capacity: int | None = None) -> Cache:
        """An empty cache that fits this decoder; `capacity` in tokens, the context length by default."""
        return Cache(self.config, capacity=capacity, dtype=self.dtype, devices=self.devices)

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last") -> Tensor:
        """Compute `tokens` as the continuation of what `cache` holds, and keep them there.

        Returns:
            The logits that follow the last token, (vocab,), or each of them, (length, vocab); they are on
            the head's device.
        """
        length, start = len(tokens), cache.length
        ids = torch.tensor(tokens, dtype=torch.long, device=self.device)
        x = self._positions[self.devices[0]].add(self._embedding[ids], start)  # (length, width)
        steps = {
            device: Step(cache, positions.turn(start, length), causal_mask(start, length, x.dtype, device))
            for device, positions in self._positions.items()
        }
        for block, device in zip(self._blocks, self.devices, strict=True):
            x = block(x.to(device), steps[device])  # `to` moves nothing that is there
        cache.extend(tokens)
        x = (x if logits == "all" else x[-1]).to(self._norm_device)
        return self._head(self._final_norm(x).to(self._head_device))


def _positions(config: DecoderConfig, weights: Mapping[str, Tensor], device: torch.device) -> Positions:
    if config.rotary is None:
        return LearnedPositions(weights["positions.weight"])
    return RotaryPositions(config.rotary, config.context_length, weights["embedding.weight"].dtype, device)


def _block(config: DecoderConfig, weights: Mapping[str, Tensor], layer: int) -> Block:
    name = f"blocks.{layer}"
    norm = _norm(config, weights, f"{name}.attention_norm")
    qkv, out = _linear(weights, f"{name}.qkv"), _linear(weights, f"{name}.attention_out")
    attention = Attention(config, layer, qkv, out)
    up, down = _linear(weights, f"{name}.mlp_up"), _linear(weights, f"{name}.mlp_down")
    mlp = MLP(up, activation(config), down)
    if config.block == "parallel":
        return ParallelBlock(norm, attention, mlp)
    return SequentialBlock(norm, attention, _norm(config, weights, f"{name}.mlp_norm"), mlp)


def _linear(weights: Mapping[str, Tensor], name: str) -> Projection:
    return Linear(weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def _norm(config: DecoderConfig, weights: Mapping[str, Tensor], name: str) -> Layer:
    weight = weights[f"{name}.weight"]
    if config.norm == "rmsnorm":
        return RMSNorm(weight, config.norm_eps)
    return LayerNorm(weight, weights[f"{name}.bias"], config.norm_eps)
