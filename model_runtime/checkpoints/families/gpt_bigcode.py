"""GPTBigCode: SantaCoder, StarCoder(Base), tiny_starcoder, Granite 20B/34B code.

GPT-2's sequential block with learned positions and one key head for all query heads, or one for each.
Source: transformers `models/gpt_bigcode`; SantaCoder (arXiv:2301.03988), StarCoder (arXiv:2305.06161).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families.family import Family, Source, setting, size
from model_runtime.decoding import Activation, DecoderConfig

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}

BLOCK = {
    "attention_norm": "ln_1",
    "qkv": "attn.c_attn",
    "attention_out": "attn.c_proj",
    "mlp_norm": "ln_2",
    "mlp_up": "mlp.c_fc",
    "mlp_down": "mlp.c_proj",
}


def facts(config: Mapping[str, Any]) -> DecoderConfig:
    """A GPTBigCode config.json as facts; what is left out, but for the sizes, has transformers' default.

    `attention_softmax_in_fp32` and `scale_attention_softmax_in_fp32` ask for at least the precision that our
    attention always has (sums and softmax in fp32), so neither value changes anything.
    """
    activation = setting(config, "activation_function", str, "gelu_pytorch_tanh")
    if activation not in ACTIVATIONS:
        raise UnsupportedModel(
            f"activation_function {activation!r} is not supported; supported: {', '.join(ACTIVATIONS)}"
        )
    if setting(config, "add_cross_attention", bool, False):
        raise UnsupportedModel("add_cross_attention is not supported: only decoders without an encoder are")
    width, heads = size(config, "n_embd"), size(config, "n_head")
    if width % heads:
        raise UnsupportedModel(f"n_embd {width} does not divide into {heads} heads (n_head)")
    head_dim = width // heads
    return DecoderConfig(
        vocab_size=size(config, "vocab_size"),
        context_length=size(config, "n_positions"),
        width=width,
        layers=size(config, "n_layer"),
        heads=heads,
        kv_heads=1 if setting(config, "multi_query", bool, True) else heads,
        head_dim=head_dim,
        mlp_width=4 * width if config.get("n_inner") is None else size(config, "n_inner"),
        norm_eps=setting(config, "layer_norm_epsilon", float, 1e-5),
        activation=ACTIVATIONS[activation],
        attention_scale=head_dim**-0.5 if setting(config, "scale_attn_weights", bool, True) else 1.0,
        tied_head=setting(config, "tie_word_embeddings", bool, True),
    )


def sources(config: DecoderConfig) -> dict[str, Source]:
    """Our weights' names to GPTBigCode's."""
    # One key head: the rows are [Q | k | v] as ours are. One for each query head: they lie head by head.
    relay = None if config.kv_heads == 1 else partial(_gather_heads, heads=config.heads)
    table = {"embedding": Source("transformer.wte.weight"), "positions": Source("transformer.wpe.weight")}
    for layer in range(config.layers):
        for ours, theirs in BLOCK.items():
            for kind in ("weight", "bias"):
                name = f"transformer.h.{layer}.{theirs}.{kind}"
                table[f"blocks.{layer}.{ours}.{kind}"] = Source(name, relay if ours == "qkv" else None)
    for kind in ("weight", "bias"):
        table[f"final_norm.{kind}"] = Source(f"transformer.ln_f.{kind}")
    return table if config.tied_head else table | {"head": Source("lm_head.weight")}


def _gather_heads(rows: Tensor, heads: int) -> Tensor:
    """Rows that lie per head as [q | k | v], seen as [Q | K | V] of all heads: (3, heads, head_dim, …)."""
    return rows.view(heads, 3, -1, *rows.shape[1:]).transpose(0, 1)


FAMILY = Family(
    model_type="gpt_bigcode",
    facts=facts,
    sources=sources,
    # Causal masks that older releases saved with the weights, and the tied head's second name.
    ignored=re.compile(r"transformer\.(h\.\d+\.attn\.)?(bias|masked_bias)|lm_head\.weight"),
)
