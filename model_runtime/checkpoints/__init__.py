"""Checkpoints on disk: load one as a decoder, convert, verify or write one.

Torch is imported with what needs it.
"""

from model_runtime.checkpoints.convert import convert_to_gptj, convert_to_hf
from model_runtime.checkpoints.device_map import map_devices
from model_runtime.checkpoints.loading import AnyDecoder, LoadedModel, load
from model_runtime.checkpoints.verification import verify_checkpoint
from model_runtime.checkpoints.weights import INT8_METHOD
from model_runtime.checkpoints.writer import CannotWrite

__all__ = [
    "INT8_METHOD",
    "AnyDecoder",
    "CannotWrite",
    "LoadedModel",
    "convert_to_gptj",
    "convert_to_hf",
    "load",
    "map_devices",
    "verify_checkpoint",
]
