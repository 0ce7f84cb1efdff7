"""The names and shapes of a decoder's weights, the layout that `checkpoints` brings every family's into.

Linear weights are (out, in). Projections of the same input are fused: the rows of `qkv` are [Q of all heads |
K of all kv heads | V of all kv heads], those of a gated MLP's `mlp_up` are [gate | up].
"""

from __future__ import annotations

from collections.abc import Iterator

from model_runtime.decoding.config import DecoderConfig

Shape = tuple[int, ...]


def weight_shapes(config: DecoderConfig) -> dict[str, Shape]:
    """The name and shape of every weight of a decoder with this config."""
    shapes: dict[str, Shape] = {"embedding.weight": (config.vocab_size, config.width)}
    if config.rotary is None:
        shapes["positions.weight"] = (config.context_length, config.width)
    block = {**_norms(config), **_projections(config)}
    for layer in range(config.layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= _norm(config, "final_norm")
    if not config.tied_head:
        shapes["head.weight"] = (config.vocab_size, config.width)
    if "head" in config.biases:
        shapes["head.bias"] = (config.vocab_size,)
    return shapes


def _norms(config: DecoderConfig) -> dict[str, Shape]:
    first = _norm(config, "attention_norm")
    return first if config.block == "parallel" else first | _norm(config, "mlp_norm")


def _norm(config: DecoderConfig, name: str) -> dict[str, Shape]:
    kinds = ("weight",) if config.norm == "rmsnorm" else ("weight", "bias")
    return {f"{name}.{kind}": (config.width,) for kind in kinds}


def _projections(config: DecoderConfig) -> dict[str, Shape]:
    return dict(
        item
        for name, rows, columns, biased in (
            ("qkv", sum(config.qkv_rows), config.width, "qkv" in config.biases),
            ("attention_out", config.width, config.heads * config.head_dim, "attention_out" in config.biases),
            ("mlp_up", _up_rows(config), config.width, "mlp" in config.biases),
            ("mlp_down", config.width, config.mlp_width, "mlp" in config.biases),
        )
        for item in _projection(name, rows, columns, biased)
    )


def _projection(name: str, rows: int, columns: int, biased: bool) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (rows, columns)
    if biased:
        yield f"{name}.bias", (rows,)


def _up_rows(config: DecoderConfig) -> int:
    return 2 * config.mlp_width if config.mlp == "gated" else config.mlp_width
