"""The one decoder: token ids and a cache in, logits out. Every family is re-laid to it once, at load.

Layout: Linear weights are (out, in); the rows of `qkv` are [Q of all heads | K of all kv heads | V of all
kv heads]; shapes stand beside the tensors, with `length` the number of new tokens and `keys` the number of
all tokens so far. The sequential pre-norm block is GPT-2's (Radford et al. 2019); heads that share keys and
values are Shazeer's multi-query attention (arXiv:1911.02150).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import Activation, DecoderConfig

Projection = Callable[[Tensor], Tensor]
"""(length, in) → (length, out); whatever multiplies by a weight can stand here."""


@dataclass(frozen=True)
class Linear:
    """A weight in the activations' own dtype."""

    weight: Tensor  # (out, in)
    bias: Tensor | None = None  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class LayerNorm:
    weight: Tensor  # (width,)
    bias: Tensor  # (width,)
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Block:
    attention_norm: LayerNorm
    qkv: Projection
    attention_out: Projection
    mlp_norm: LayerNorm
    mlp_up: Projection
    mlp_down: Projection


Shape = tuple[int, ...]


def weight_shapes(config: DecoderConfig) -> dict[str, Shape]:
    """Every weight that a decoder of these facts is made of, by our name, with its shape."""
    width, heads_width = config.width, config.heads * config.head_dim
    qkv_rows = heads_width + 2 * config.kv_heads * config.head_dim
    norm: dict[str, Shape] = {"weight": (width,), "bias": (width,)}
    block: dict[str, Shape] = {
        f"{part}.{kind}": shape for part in ("attention_norm", "mlp_norm") for kind, shape in norm.items()
    }
    for part, rows, columns in (
        ("qkv", qkv_rows, width),
        ("attention_out", width, heads_width),
        ("mlp_up", config.mlp_width, width),
        ("mlp_down", width, config.mlp_width),
    ):
        block |= {f"{part}.weight": (rows, columns), f"{part}.bias": (rows,)}
    shapes: dict[str, Shape] = {
        "embedding": (config.vocab_size, width),
        "positions": (config.context_length, width),
    }
    for layer in range(config.layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {f"final_norm.{kind}": shape for kind, shape in norm.items()}
    return shapes if config.tied_head else shapes | {"head": (config.vocab_size, width)}


class Decoder:
    """A decoder-only transformer with its weights.

    Args:
        config: the facts.
        weights: exactly the names and shapes of `weight_shapes(config)`, of one dtype, on one device.
            They are kept as they are (a memory-mapped file stays one) and never written to.
    """

    def __init__(self, config: DecoderConfig, weights: Mapping[str, Tensor]) -> None:
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        assert found == weight_shapes(config), "the loader lets no other weights through"
        self.config = config
        self.parameters = sum(tensor.numel() for tensor in weights.values())
        self._embedding = weights["embedding"]
        self._positions = weights["positions"]
        self._blocks = [_block(config, weights, f"blocks.{layer}") for layer in range(config.layers)]
        self._final_norm = _norm(config, weights, "final_norm")
        self._head: Projection = Linear(self._embedding if config.tied_head else weights["head"])
        self._activation = _activation(config.activation)

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._embedding.device

    def new_cache(self, capacity: int | None = None) -> Cache:
        """An empty cache that fits this decoder; `capacity` in tokens, the context length by default."""
        return Cache(self.config, capacity=capacity, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last") -> Tensor:
        """Compute `tokens` as the continuation of what `cache` holds, and keep them there.

        Returns:
            The logits that follow the last token, (vocab,), or each of them, (length, vocab).
        """
        length, start = len(tokens), cache.length
        ids = torch.tensor(tokens, dtype=torch.long, device=self.device)
        x = self._embedding[ids] + self._positions[start : start + length]  # (length, width)
        mask = _causal_mask(start, length, x) if length > 1 else None
        for layer, block in enumerate(self._blocks):
            x = x + self._attention(block, layer, block.attention_norm(x), cache, mask)
            x = x + block.mlp_down(self._activation(block.mlp_up(block.mlp_norm(x))))
        cache.extend(tokens)
        return self._head(self._final_norm(x)) if logits == "all" else self._head(self._final_norm(x[-1]))

    def _attention(self, block: Block, layer: int, x: Tensor, cache: Cache, mask: Tensor | None) -> Tensor:
        """(length, width) → (length, width)"""
        c, length = self.config, x.shape[0]
        rows = block.qkv(x).view(length, c.heads + 2 * c.kv_heads, c.head_dim)
        q, k, v = torch.split(rows, [c.heads, c.kv_heads, c.kv_heads], dim=1)
        keys, values = cache.write(layer, k.transpose(0, 1), v.transpose(0, 1))  # (kv_heads, keys, head_dim)
        keys, values = keys.unsqueeze(1), values.unsqueeze(1)  # (kv_heads, 1, keys, head_dim)
        # Shared keys are never copied out per query head. One new token: its query heads are the rows of one
        # product, so each key is read once. Many: the heads stay apart and all look at the same memory
        # (a view with stride 0), which spares a mask with a row for each head and token.
        if length == 1:
            q = q.view(c.kv_heads, 1, c.group, c.head_dim)
        else:
            q = q.view(length, c.kv_heads, c.group, c.head_dim).permute(1, 2, 0, 3)
            keys, values = (t.expand(-1, c.group, -1, -1) for t in (keys, values))
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=c.attention_scale)
        if length > 1:
            mixed = mixed.permute(2, 0, 1, 3)  # (length, kv_heads, group, head_dim)
        return block.attention_out(mixed.reshape(length, c.heads * c.head_dim))


def _causal_mask(start: int, length: int, like: Tensor) -> Tensor:
    """(length, start + length): 0 where a new token may look, -inf at what comes after it."""
    mask = torch.full((length, start + length), float("-inf"), dtype=like.dtype, device=like.device)
    return mask.triu_(start + 1)


def _block(config: DecoderConfig, weights: Mapping[str, Tensor], name: str) -> Block:
    return Block(
        attention_norm=_norm(config, weights, f"{name}.attention_norm"),
        qkv=_linear(weights, f"{name}.qkv"),
        attention_out=_linear(weights, f"{name}.attention_out"),
        mlp_norm=_norm(config, weights, f"{name}.mlp_norm"),
        mlp_up=_linear(weights, f"{name}.mlp_up"),
        mlp_down=_linear(weights, f"{name}.mlp_down"),
    )


def _linear(weights: Mapping[str, Tensor], name: str) -> Projection:
    return Linear(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(config: DecoderConfig, weights: Mapping[str, Tensor], name: str) -> LayerNorm:
    return LayerNorm(weights[f"{name}.weight"], weights[f"{name}.bias"], config.norm_eps)


def _activation(kind: Activation) -> Callable[[Tensor], Tensor]:
    if kind == "gelu_tanh":
        return lambda x: F.gelu(x, approximate="tanh")
    plain: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}
    return plain[kind]
