"""The supported model families, one file each: config.json to a `DecoderConfig`, and tensor names and orders.

To add a family, add its file and its line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families import codegen, gpt_bigcode, gptj, llama, qwen2, starcoder2
from model_runtime.checkpoints.families.family import Family, Layout, RowOrder, SourceTensor

__all__ = ["Family", "Layout", "RowOrder", "SourceTensor", "family_of"]

FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        gpt_bigcode.FAMILY,
        llama.FAMILY,
        qwen2.FAMILY,
        starcoder2.FAMILY,
        codegen.FAMILY,
        gptj.FAMILY,
    )
}


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a checkpoint with this config.json.

    Raises:
        UnsupportedModel: it names an unknown `model_type`, or none.
    """
    model_type = config.get("model_type")
    supported = ", ".join(FAMILIES)
    if not isinstance(model_type, str):
        raise UnsupportedModel(f"config.json names no model_type; supported: {supported}")
    if model_type not in FAMILIES:
        raise UnsupportedModel(f"model_type {model_type!r} is not supported; supported: {supported}")
    family = FAMILIES[model_type]
    return family.variant(config) if family.variant else family
