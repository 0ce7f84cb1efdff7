"""CodeGen 1 and 2: GPT-J's architecture, with q, v and k fused in groups of rows.

There are `mp_num` groups, one for each core that the model was trained on, with the rows of its heads as
[q | v | k]. Source: transformers `models/codegen`; CodeGen (arXiv:2203.13474), CodeGen2 (arXiv:2305.02309).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families import gptj, table
from model_runtime.checkpoints.families.family import Family, Layout, RowOrder
from model_runtime.checkpoints.families.rotary import deinterleaved
from model_runtime.decoding import DecoderConfig

NAMES: table.Names = {**gptj.NAMES, "qkv": ("attn.qkv_proj",)}


def default_mp_num(config: Mapping[str, Any]) -> int:
    """The number of groups, which config.json does not give.

    Checkpoints with 8 groups, CodeGen2 1B and 3.7B, are recognised by a setting that the others lack.
    Source: CTranslate2 `converters/transformers.py`.
    """
    return 8 if config.get("head_dim") in (128, 256) else 4


def decoder_config(config: Mapping[str, Any], mp_num: int | None = None) -> DecoderConfig:
    """The decoder's configuration from a CodeGen config.json.

    Raises:
        CorruptCheckpoint: a setting makes no sense.
        UnsupportedModel: the shape is impossible, or a setting is not supported.
    """
    found = gptj.decoder_config(config)
    if (config.get("head_dim") or found.head_dim) != found.head_dim:
        raise UnsupportedModel(
            f"head_dim {config['head_dim']!r} is not supported: "
            f"n_embd {found.width} divides into heads of {found.head_dim}"
        )
    mp_num = default_mp_num(config) if mp_num is None else mp_num
    if mp_num < 1 or found.heads % mp_num:
        raise UnsupportedModel(
            f"n_head {found.heads} does not divide by mp_num {mp_num}: "
            "name the mp_num that the model was trained with"
        )
    return found


def layout(config: DecoderConfig, mp_num: int = 4) -> Layout:
    """Which tensors each weight is made of, where q, v and k are in `mp_num` groups."""
    assert config.rotary
    halves = deinterleaved(config.heads, config.head_dim, config.rotary.dim)
    rows = np.arange(sum(config.qkv_rows)).reshape(mp_num, 3, -1)  # (mp_num, [q | v | k], rows of each)
    q, v, k = (rows[:, part].flatten() for part in range(3))
    return table.layout(config, NAMES, {"qkv": (RowOrder(np.concatenate((halves(q), halves(k), v))),)})


def family(mp_num: int | None = None) -> Family:
    """The family with a given number of groups; by default, with the number for each config."""
    if mp_num is None:
        return Family("codegen", decoder_config, layout, gptj.IGNORED, lambda c: family(default_mp_num(c)))
    return Family(
        "codegen", partial(decoder_config, mp_num=mp_num), partial(layout, mp_num=mp_num), gptj.IGNORED
    )


FAMILY = family()
