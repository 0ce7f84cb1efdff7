"""One file a family: a checkpoint's config to facts, its tensors to our layout.

A family is a table, not a program: adding one means adding its file and its line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.families import gpt_bigcode
from model_runtime.checkpoints.families.family import Family, Source

__all__ = ["Family", "Source", "family_of"]

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (gpt_bigcode.FAMILY,)}


def family_of(config: Mapping[str, Any]) -> Family:
    """The family that a checkpoint's config names.

    Raises:
        UnsupportedModel: it names another one, or none.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise UnsupportedModel(f"config.json names no model_type; supported: {', '.join(sorted(FAMILIES))}")
    if model_type not in FAMILIES:
        raise UnsupportedModel(
            f"model_type {model_type!r} is not supported; supported: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[model_type]
