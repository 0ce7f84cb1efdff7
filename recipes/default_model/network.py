"""The network of the default model, to be trained: GPTBigCode with multi-query attention.

Its modules have transformers' names, so that the state dictionary is a checkpoint as it is. The runtime's
decoder computes the same for inference, without gradients; a test compares their logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from model_runtime.training import Muon

MUON_RATE = 0.02
ADAM_RATE = 0.003


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
        self.apply(self._initialize)

    def _initialize(self, module: nn.Module) -> None:
        """GPT-2's initialization: projections into the residual stream start smaller, by depth."""
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


def make_optimizers(network: Network) -> list[Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings, norms and biases."""
    named = dict(network.named_parameters())
    matrices = [p for name, p in named.items() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in named.items() if not (p.ndim == 2 and ".h." in name)]
    return [Muon(matrices, MUON_RATE), AdamW(rest, ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)]
