"""Qwen2: Qwen2.5-Coder. Llama's decoder with a bias on q, k and v.

Source: transformers `models/qwen2`; Qwen2.5-Coder (arXiv:2409.12186).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_runtime.checkpoints.families import llama
from model_runtime.checkpoints.families.family import Family
from model_runtime.checkpoints.families.settings import setting
from model_runtime.decoding import DecoderConfig


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder's configuration from a Qwen2 config.json, with transformers' defaults.

    `sliding_window` applies only with `use_sliding_window`, which no released coder sets.
    """
    windowed = setting(config, "use_sliding_window", bool, False)
    return llama.gated_decoder_config(config, frozenset({"qkv"}), windowed=windowed)


FAMILY = Family(model_type="qwen2", decoder_config=decoder_config, layout=llama.layout, ignored=llama.IGNORED)
