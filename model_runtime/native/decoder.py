"""The decoder on a CPU: one call of the native library for a forward pass, token ids in, logits out."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from model_runtime.api import OutOfMemory
from model_runtime.decoding import Activation, CachedSequence, DecoderConfig, Logits, weight_shapes
from model_runtime.native.blocks import BlockPool
from model_runtime.native.cache import NativeCache
from model_runtime.native.library import (
    ConfigStruct,
    LayerStruct,
    MatrixStruct,
    WeightsStruct,
    library,
)
from model_runtime.native.library import kernels as fastest_kernels
from model_runtime.native.matrices import Floats, GroupedMatrix

NativeWeight = GroupedMatrix | Floats
"""A matrix, or a vector in fp32; learned positions are a table in fp32."""

ACTIVATIONS: Mapping[Activation, int] = {"gelu": 0, "gelu_tanh": 1, "relu": 2, "silu": 3}
"""`FimbleActivation`"""

NO_LIMIT = 1 << 62
"""Bytes."""

LAYER_VECTORS = (
    *("attention_norm.weight", "attention_norm.bias", "mlp_norm.weight", "mlp_norm.bias"),
    *("qkv.bias", "attention_out.bias", "mlp_up.bias", "mlp_down.bias"),
)
LAYER_MATRICES = ("qkv", "attention_out", "mlp_up", "mlp_down")


class NativeDecoder:
    """A decoder-only transformer on the CPU, with the methods of `torch_decoder.Decoder`.

    Weights stay quantised, activations are quantised for each product, keys and values are kept in fp16;
    everything else is fp32. A token's logits are the same whichever other tokens are computed with it.

    Args:
        config: the configuration.
        weights: exactly the names and shapes of `weight_shapes(config)`.
        kernels: the set of kernels to use, one of `library.kernels()`; the fastest by default.

    Raises:
        Unavailable: there is no native library.
    """

    def __init__(
        self,
        config: DecoderConfig,
        weights: Mapping[str, NativeWeight],
        *,
        kernels: str = "",
    ) -> None:
        found = {name: tuple(weight.shape) for name, weight in weights.items()}
        assert found == weight_shapes(config), "the loader provides exactly these weights"
        self.config = config
        self.devices = ["cpu"] * config.layers
        self.parameters = sum(_count(weight) for weight in weights.values())
        self.weight_bytes = sum(weight.nbytes for weight in weights.values())
        lookup = {"positions.weight"} if config.tied_head else {"positions.weight", "embedding.weight"}
        self.step_bytes = sum(weight.nbytes for name, weight in weights.items() if name not in lookup)
        self.weights = dict(weights)  # the library refers to their memory
        self._library = library()
        opened = self._library.fimble_open(_config(config), _weights(config, weights), kernels.encode())
        assert opened, f"kernels {kernels!r} cannot run here, or the weights do not fit the configuration"
        self.kernels = kernels or fastest_kernels()[0]
        self._handle: int | None = opened
        self.pool = BlockPool(self._library.fimble_block_bytes(opened), NO_LIMIT)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self._library.fimble_close(self._handle)
            self._handle = None

    def set_threads(self, threads: int) -> None:
        """Set the number of threads of a forward pass."""
        self._library.fimble_set_threads(self._handle, threads)

    def new_cache(self, capacity: int | None = None) -> NativeCache:
        """An empty cache for this decoder; `capacity` in tokens, the context length by default."""
        capacity = capacity or self.config.context_length
        assert capacity <= self.config.context_length, "no position is known beyond the context length"
        return NativeCache(self.pool, capacity)

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Logits:
        """Compute `tokens` as the continuation of the sequence in `cache`, and add them to it.

        Returns:
            The logits after the last token, (vocab,), or after each of them, (length, vocab).

        Raises:
            OutOfMemory: there is no memory for the tokens' keys and values; the cache is as it was.
        """
        assert isinstance(cache, NativeCache), "a cache of this decoder"
        count, start, every = len(tokens), cache.length, logits == "all"
        blocks = cache.blocks_for(start + count)
        output: Logits = np.empty((count if every else 1, self.config.vocab_size), np.float32)
        ids = (ctypes.c_int32 * count)(*tokens)
        status = self._library.fimble_forward(
            self._handle, ids, count, start, blocks, cache.block_count, every, output.ctypes.data
        )
        if status != 0:
            cache.rewind(start)  # gives the new blocks back
        if status == -2:
            raise OutOfMemory("there is not enough memory: use a smaller model")
        assert status == 0, f"{count} tokens at {start} are out of range"
        cache.extend(tokens)
        return output if every else output[0]


def _count(weight: NativeWeight) -> int:
    return weight.numel() if isinstance(weight, GroupedMatrix) else weight.size


def _config(config: DecoderConfig) -> ConfigStruct:
    rotary = config.rotary
    return ConfigStruct(
        config.vocab_size,
        config.context_length,
        config.width,
        config.layers,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.mlp_width,
        rotary.dim if rotary else 0,
        config.block == "parallel",
        config.norm == "rmsnorm",
        config.mlp == "gated",
        ACTIVATIONS[config.activation],
        rotary.theta if rotary else 1,
        rotary.factor if rotary else 1,
        config.norm_eps,
        config.attention_scale,
    )


def _weights(config: DecoderConfig, weights: Mapping[str, NativeWeight]) -> WeightsStruct:
    def matrix(name: str) -> MatrixStruct:
        weight = weights[f"{name}.weight"]
        assert isinstance(weight, GroupedMatrix), f"{name} is multiplied with"
        return weight.struct()

    def vector(name: str) -> int | None:
        weight = weights.get(name)
        if weight is None:
            return None
        assert isinstance(weight, np.ndarray), f"{name} is used elementwise"
        assert weight.dtype == np.float32, f"{name} is fp32"
        assert weight.flags.c_contiguous, f"{name} is contiguous"
        return weight.ctypes.data

    layers = (LayerStruct * config.layers)()
    for number, layer in enumerate(layers):
        for name in LAYER_VECTORS:
            setattr(layer, name.replace(".weight", "").replace(".", "_"), vector(f"blocks.{number}.{name}"))
        for name in LAYER_MATRICES:
            setattr(layer, name, matrix(f"blocks.{number}.{name}"))
    return WeightsStruct(
        matrix("embedding"),
        matrix("embedding" if config.tied_head else "head"),
        vector("positions.weight"),
        vector("final_norm.weight"),
        vector("final_norm.bias"),
        vector("head.bias"),
        layers,
    )
