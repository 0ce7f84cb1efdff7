"""The names and shapes of a decoder's weights, the layout that `checkpoints` brings every family's into.

Linear weights are (out, in). Projections of the same input are fused: the rows of `qkv` are [Q of all heads |
K of all kv heads | V of all kv heads], those of a gated MLP's `mlp_up` are [gate | up].
"""

from __future__ import annotations

from model_runtime.decoding.config import Biased, DecoderConfig

Shape = tuple[int, ...]


def weight_shapes(config: DecoderConfig) -> dict[str, Shape]:
    """The name and shape of every weight of a decoder with this config."""
    c = config
    shapes: dict[str, Shape] = {"embedding.weight": (c.vocab_size, c.width)}
    if c.rotary is None:
        shapes["positions.weight"] = (c.context_length, c.width)
    up_rows = 2 * c.mlp_width if c.mlp == "gated" else c.mlp_width
    block = {
        **_norm(c, "attention_norm"),
        **({} if c.block == "parallel" else _norm(c, "mlp_norm")),
        **_linear(c, "qkv", (sum(c.qkv_rows), c.width), "qkv"),
        **_linear(c, "attention_out", (c.width, c.heads * c.head_dim), "attention_out"),
        **_linear(c, "mlp_up", (up_rows, c.width), "mlp"),
        **_linear(c, "mlp_down", (c.width, c.mlp_width), "mlp"),
    }
    for layer in range(c.layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    head = _linear(c, "head", (c.vocab_size, c.width), "head")
    if c.tied_head:
        del head["head.weight"]
    return {**shapes, **_norm(c, "final_norm"), **head}


def _norm(config: DecoderConfig, name: str) -> dict[str, Shape]:
    kinds = ("weight",) if config.norm == "rmsnorm" else ("weight", "bias")
    return {f"{name}.{kind}": (config.width,) for kind in kinds}


def _linear(config: DecoderConfig, name: str, shape: Shape, biased: Biased) -> dict[str, Shape]:
    bias = {f"{name}.bias": shape[:1]} if biased in config.biases else {}
    return {f"{name}.weight": shape, **bias}
