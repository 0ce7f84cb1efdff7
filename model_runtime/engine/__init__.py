"""An open model that answers requests step by step: prompt planning, KV cache slots, prefill and decode."""

from model_runtime.engine.engine import Engine
from model_runtime.engine.measuring import measure_speed
from model_runtime.hardware import needs_torch

__all__ = [
    "Engine",
    "measure_speed",
    "needs_torch",
]
