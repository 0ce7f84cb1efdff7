"""A family's tensor names as the table of sources: names and row orders in, one source for each weight out.

The names a family gives are of modules, by our names for them: `embedding`, `positions`, `blocks` (where
those are counted), `final_norm`, `head`, and the parts of a block. A weight that it keeps in several tensors
has several names. What does not occur in a decoder of the given facts needs none.
"""

from __future__ import annotations

from collections.abc import Mapping

from model_runtime.checkpoints.families.family import RowOrder, Source
from model_runtime.decoding import DecoderConfig, weight_shapes

Names = Mapping[str, tuple[str, ...]]
Orders = Mapping[str, tuple[RowOrder | None, ...]]


def sources(config: DecoderConfig, names: Names, orders: Orders | None = None) -> dict[str, Source]:
    """Where each weight of a decoder of these facts comes from.

    Args:
        config: the facts.
        names: the family's modules by ours.
        orders: for modules whose rows lie otherwise than ours, each tensor's order, None where it is ours.
    """
    table = {}
    for weight in weight_shapes(config):
        module, _, kind = weight.rpartition(".")
        block, _, part = module.rpartition(".")
        prefix = block.replace("blocks", names["blocks"][0], 1) + "." if block else ""
        theirs = [f"{prefix}{name}.{kind}" for name in names[part]]
        table[weight] = _source(theirs, _rows(config, part), (orders or {}).get(part))
    return table


def _source(names: list[str], rows: tuple[int, ...], orders: tuple[RowOrder | None, ...] | None) -> Source:
    orders = orders or (None,) * len(names)
    if len(names) == 1:
        return Source(names[0], orders[0])
    first, *below = (Source(*each) for each in zip(names, orders, rows, strict=True))
    return Source(first.name, first.relay, first.rows, tuple(below))


def _rows(config: DecoderConfig, part: str) -> tuple[int, ...]:
    """How many rows each tensor has that a fused weight may be kept in."""
    fused = {"qkv": config.qkv_rows, "mlp_up": (config.mlp_width, config.mlp_width)}
    return fused.get(part, ())
