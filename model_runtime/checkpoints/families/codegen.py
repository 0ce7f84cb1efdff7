"""CodeGen 1 and 2: GPT-J's architecture, with q, v and k fused in groups of rows.

The groups are one for each of the cores that a model was trained on, `mp_num` of them, and each has the rows
of its heads as [q | v | k]. Source: transformers `models/codegen`; CodeGen (arXiv:2203.13474), CodeGen2
(arXiv:2305.02309).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families import gptj, table
from model_runtime.checkpoints.families.family import Family, RowOrder, Source
from model_runtime.checkpoints.families.rotary import deinterleaved
from model_runtime.decoding import DecoderConfig

NAMES: table.Names = {**gptj.NAMES, "qkv": ("attn.qkv_proj",)}


def mp_num(config: Mapping[str, Any]) -> int:
    """How many groups the rows are in, where nobody says.

    The checkpoints in 8 groups, CodeGen2 1B and 3.7B, tell themselves by a setting that others lack.
    Source: CTranslate2 `converters/transformers.py`.
    """
    return 8 if config.get("head_dim") in (128, 256) else 4


def facts(config: Mapping[str, Any]) -> DecoderConfig:
    """A CodeGen config.json as facts.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: the model is of a shape that cannot be, or uses what the decoder does not have.
    """
    found = gptj.facts(config)
    if (config.get("head_dim") or found.head_dim) != found.head_dim:
        raise UnsupportedModel(
            f"head_dim {config['head_dim']!r} is not supported: "
            f"n_embd {found.width} divides into heads of {found.head_dim}"
        )
    if found.heads % mp_num(config):
        raise UnsupportedModel(f"n_head {found.heads} does not divide by mp_num {mp_num(config)}")
    return found


def sources(config: DecoderConfig, mp_num: int = 4) -> dict[str, Source]:
    """Our weights' names to CodeGen's, its rows being in `mp_num` groups."""
    return table.sources(config, NAMES, {"qkv": (_order(config, mp_num),)})


def _order(config: DecoderConfig, mp_num: int) -> RowOrder:
    assert config.rotary
    turned = deinterleaved(config.heads, config.head_dim, config.rotary.dim)
    rows = torch.arange(sum(config.qkv_rows)).view(mp_num, 3, -1)  # (mp_num, [q | v | k], rows of each)
    q, v, k = (rows[:, part].flatten() for part in range(3))
    return RowOrder(torch.cat((turned(q), turned(k), v)))


def _variant(config: Mapping[str, Any]) -> Family:
    return _family(mp_num(config))


def _family(mp_num: int) -> Family:
    table_of = partial(sources, mp_num=mp_num)
    return Family("codegen", facts, table_of, gptj.IGNORED, _variant)


FAMILY = _family(mp_num=4)
