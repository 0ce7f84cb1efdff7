"""Builds a family's layout from a table of its module names, so that most families are only a table.

The table maps the decoder's module names to the family's: `embedding`, `positions`, `blocks` (whose numbers
follow), `final_norm`, `head`, and the modules in a block. A fused module that the family keeps in several
tensors has several names.
"""

from __future__ import annotations

from collections.abc import Mapping

from model_runtime.checkpoints.families.family import Layout, RowOrder, SourceTensor
from model_runtime.decoding import DecoderConfig, weight_shapes

Names = Mapping[str, tuple[str, ...]]
Orders = Mapping[str, tuple[RowOrder | None, ...]]


def layout(config: DecoderConfig, names: Names, orders: Orders | None = None) -> Layout:
    """The tensors of each weight of a decoder.

    Args:
        config: of the decoder.
        names: the family's module names.
        orders: for modules with permuted rows, the order of each tensor, None where it is the decoder's.
    """
    fused = {"qkv": config.qkv_rows, "mlp_up": (config.mlp_width, config.mlp_width)}
    table = {}
    for weight, shape in weight_shapes(config).items():
        module, _, kind = weight.rpartition(".")
        block, _, part = module.rpartition(".")
        prefix = block.replace("blocks", names["blocks"][0], 1) + "." if block else ""
        tensors = [f"{prefix}{name}.{kind}" for name in names[part]]
        rows = fused[part] if len(tensors) > 1 else shape[:1]
        order = (orders or {}).get(part, (None,) * len(tensors))
        table[weight] = tuple(map(SourceTensor, tensors, rows, order))
    return table
