"""The trainable twin of the runtime's decoder, for one family: GPTBigCode with one key/value head.

Module names are transformers' own, so that the state dictionary is a checkpoint as it stands. It is
kept apart from `decoding`, which is laid out for inference (static cache, no gradients); a test holds the
two to the same logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The size of a model; `head_dim` is width / heads."""

    vocab_size: int = 4096
    context: int = 768
    width: int = 192
    layers: int = 4
    heads: int = 3

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


class Attention(nn.Module):
    """Multi-query attention: `heads` queries share one key and one value head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.c_attn = nn.Linear(shape.width, shape.width + 2 * shape.head_dim)
        self.c_proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:  # (rows, length, width)
        rows, length, width = x.shape
        queries, keys, values = self.c_attn(x).split((width, self.shape.head_dim, self.shape.head_dim), -1)
        queries = queries.view(rows, length, self.shape.heads, -1).transpose(1, 2)
        keys, values = (part.unsqueeze(1).expand_as(queries) for part in (keys, values))
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        projected: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(rows, length, width))
        return projected


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.c_fc = nn.Linear(shape.width, 4 * shape.width)
        self.c_proj = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))
        return projected


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attn = Attention(shape)
        self.ln_2 = nn.LayerNorm(shape.width)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        residual: Tensor = x + self.mlp(self.ln_2(x))
        return residual


class Network(nn.Module):
    """Tokens (rows, length) to logits (rows, length, vocab_size); the head is tied to the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(shape.vocab_size, shape.width),
                "wpe": nn.Embedding(shape.context, shape.width),
                "h": nn.ModuleList(Block(shape) for _ in range(shape.layers)),
                "ln_f": nn.LayerNorm(shape.width),
            }
        )
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's initialisation: what writes into the residual stream starts smaller, by depth."""
        if isinstance(module, nn.Embedding | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, Attention | FeedForward):
            nn.init.normal_(module.c_proj.weight, std=0.02 / math.sqrt(2 * self.shape.layers))

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.transformer
        embedding, positions = parts["wte"], torch.arange(tokens.shape[1], device=tokens.device)
        assert isinstance(embedding, nn.Embedding)
        x = embedding(tokens) + parts["wpe"](positions)
        for block in parts["h"].children():
            x = block(x)
        return functional.linear(parts["ln_f"](x), embedding.weight)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
