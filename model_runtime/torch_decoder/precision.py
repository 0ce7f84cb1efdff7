"""The precisions of weights and activations."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from model_runtime.api import Dtype

DTYPES: Mapping[Dtype, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
