"""The decoder of every family: token ids and a cache in, logits out.

`checkpoints` brings each family's weights into the layout of `shapes`. Which blocks, norms and positions a
decoder has is decided once, when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model_runtime.decoding import CachedSequence, DecoderConfig, weight_shapes
from model_runtime.torch_decoder.acceleration import Acceleration, acceleration
from model_runtime.torch_decoder.attention import (
    Attend,
    Attention,
    EagerStep,
    GroupedAttention,
    StaticStep,
    Step,
    causal_mask,
)
from model_runtime.torch_decoder.cache import Cache
from model_runtime.torch_decoder.graphs import ROW_BUCKETS, Graphs
from model_runtime.torch_decoder.int8 import Int8Weight
from model_runtime.torch_decoder.layers import MLP, Layer, LayerNorm, RMSNorm
from model_runtime.torch_decoder.positions import LearnedPositions, Positions, RotaryPositions
from model_runtime.torch_decoder.projections import Projections, Weight


@dataclass(frozen=True)
class SequentialBlock:
    """The pre-norm block of Radford et al. 2019: attention, then the MLP."""

    attention_norm: Layer
    attention: Attention
    mlp_norm: Layer
    mlp: MLP

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        """(length, width) → (length, width)"""
        x = self.attention(self.attention_norm(x), step, x)
        return self.mlp(self.mlp_norm(x), x)


@dataclass(frozen=True)
class ParallelBlock:
    """The block of Wang and Komatsuzaki 2021: attention and MLP of the same norm's output, added up."""

    norm: Layer
    attention: Attention
    mlp: MLP

    def __call__(self, x: Tensor, step: Step) -> Tensor:
        """(length, width) → (length, width)"""
        normed = self.norm(x)
        return self.mlp(normed, self.attention(normed, step, x))


Block = SequentialBlock | ParallelBlock


class Decoder:
    """A decoder-only transformer with its weights.

    Args:
        config: the configuration.
        weights: exactly the names and shapes of `weight_shapes(config)`. Tensors are of one dtype, which is
            the activations' too; a matrix may be int8 instead. They are kept as they are (a memory-mapped
            file stays one) and never written to. Each block runs on the device of its weights, which must be
            on one device; learned positions must be on the embedding's.
        accelerated: kernels and graphs to use; all that the weights' devices have, by default.
    """

    def __init__(
        self, config: DecoderConfig, weights: Mapping[str, Weight], accelerated: Acceleration | None = None
    ) -> None:
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        assert found == weight_shapes(config), "the loader provides exactly these weights"
        self.config = config
        self.parameters = sum(tensor.numel() for tensor in weights.values())
        self.weight_bytes = sum(tensor.nbytes for tensor in weights.values())
        self.step_bytes = sum(weights[name].nbytes for name in weights if _read_whole(config, name))
        self.dtype = _tensor(weights, "final_norm.weight").dtype
        self._embedding = weights["embedding.weight"]
        self.devices = [weights[f"blocks.{layer}.qkv.weight"].device for layer in range(config.layers)]
        self._positions = {device: _positions(config, weights, self.dtype, device) for device in self.devices}
        devices = [weight.device for weight in weights.values()]
        accelerated = accelerated or acceleration(devices, self.dtype)
        projections = Projections(weights, accelerated.triton)
        self._blocks = [_block(config, weights, projections, layer) for layer in range(config.layers)]
        self._final_norm = _norm(config, weights, "final_norm")
        tied = "embedding" if config.tied_head else None
        self._head = projections.projection("head", tied)
        self._norm_device = weights["final_norm.weight"].device
        self._head_device = weights[f"{tied or 'head'}.weight"].device
        self._triton = self.device.type in accelerated.triton
        self._graphs: Graphs | None = None
        if accelerated.capture is not None:
            logits = torch.zeros(ROW_BUCKETS[-1], config.vocab_size, dtype=self.dtype, device=self.device)
            self._graphs = Graphs(self._static, accelerated.capture, logits)

    @property
    def device(self) -> torch.device:
        """The embedding's device, where a step begins; `devices` are the blocks'."""
        return self._embedding.device

    def new_cache(self, capacity: int | None = None) -> Cache:
        """An empty cache for this decoder; `capacity` in tokens, the context length by default."""
        return Cache(self.config, capacity=capacity, dtype=self.dtype, devices=self.devices)

    @torch.inference_mode()
    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Tensor:
        """Compute `tokens` as the continuation of the sequence in `cache`, and add them to it.

        Returns:
            The logits after the last token, (vocab,), or after each of them, (length, vocab); on the head's
            device.
        """
        assert isinstance(cache, Cache), "a cache of this decoder"
        output = self._graphs.forward(tokens, cache) if self._graphs else None
        if output is None:
            output = self._eager(tokens, cache, logits)
        else:
            output = (output if logits == "all" else output[-1:]).clone()  # the next step overwrites it
        cache.extend(tokens)
        return output if logits == "all" else output[0]

    def _eager(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"]) -> Tensor:
        """A step of any length, on any devices; returns (1 or length, vocab)."""
        length, start = len(tokens), cache.length
        ids, where = torch.tensor(tokens, dtype=torch.long, device=self.device), slice(start, start + length)
        x = self._positions[self.devices[0]].add(self._embedded(ids), where)  # (length, width)
        steps = self._eager_steps(cache, where, length)
        for block, device in zip(self._blocks, self.devices, strict=True):
            x = block(x.to(device), steps[device])
        x = (x if logits == "all" else x[-1:]).to(self._norm_device)
        return self._head(self._final_norm(x).to(self._head_device))

    def _eager_steps(self, cache: Cache, where: slice, length: int) -> dict[torch.device, Step]:
        """For each device, the step of `length` tokens at the positions `where`."""
        views = cache.layer_views(length)

        def attend(device: torch.device) -> Attend:
            return GroupedAttention(self.config, causal_mask(where.start, length, self.dtype, device))

        return {
            device: EagerStep(self.config, views, positions.rotation(where), attend(device))
            for device, positions in self._positions.items()
        }

    def _static(self, ids: Tensor, where: Tensor, cache: Cache, keys: int) -> Tensor:
        """A step of fixed size on one device, its numbers in tensors; returns all logits, (length, vocab).

        Args:
            ids: of the tokens, (length,).
            where: their positions, (length,).
            cache: with room for them.
            keys: how many of the cache's tokens are attended to; greater than each position.
        """
        positions = self._positions[self.device]
        x = positions.add(self._embedded(ids), where)  # (length, width)
        step = self._static_step(positions, where, cache.layers(), keys)
        for block in self._blocks:
            x = block(x, step)
        return self._head(self._final_norm(x))

    def _static_step(self, positions: Positions, where: Tensor, layers: Sequence[Tensor], keys: int) -> Step:
        if not self._triton:
            return StaticStep(self.config, layers, positions.rotation(where), where, keys, self.dtype)
        from model_runtime.torch_decoder.triton_attention import TritonStep  # not available on every platform

        return TritonStep(self.config, layers, positions.tables, where, keys)

    def _embedded(self, ids: Tensor) -> Tensor:
        """(length,) → (length, width)"""
        table = self._embedding
        return table.rows(ids, self.dtype) if isinstance(table, Int8Weight) else table[ids]


def _read_whole(config: DecoderConfig, name: str) -> bool:
    """Whether a step reads all of a weight; of a table, it only looks up rows."""
    return name != "positions.weight" and (config.tied_head or name != "embedding.weight")


def _positions(
    config: DecoderConfig, weights: Mapping[str, Weight], dtype: torch.dtype, device: torch.device
) -> Positions:
    if config.rotary is None:
        return LearnedPositions(_tensor(weights, "positions.weight"))
    return RotaryPositions(config.rotary, config.context_length, dtype, device)


def _block(
    config: DecoderConfig, weights: Mapping[str, Weight], projections: Projections, layer: int
) -> Block:
    name = f"blocks.{layer}"
    norm = _norm(config, weights, f"{name}.attention_norm")
    qkv, out = projections.projection(f"{name}.qkv"), projections.residual_projection(f"{name}.attention_out")
    attention, mlp = Attention(config, layer, qkv, out), projections.mlp(name, config)
    if config.block == "parallel":
        return ParallelBlock(norm, attention, mlp)
    return SequentialBlock(norm, attention, _norm(config, weights, f"{name}.mlp_norm"), mlp)


def _norm(config: DecoderConfig, weights: Mapping[str, Weight], name: str) -> Layer:
    weight = _tensor(weights, f"{name}.weight")
    if config.norm == "rmsnorm":
        return RMSNorm(weight, config.norm_eps)
    return LayerNorm(weight, _tensor(weights, f"{name}.bias"), config.norm_eps)


def _tensor(weights: Mapping[str, Weight], name: str) -> Tensor:
    weight = weights[name]
    assert isinstance(weight, Tensor), f"{name} is used elementwise: it stays a tensor"
    return weight
