"""Checkpoints on disk: loaded as a decoder that is ready to run, converted, verified and written."""

from model_runtime.checkpoints.convert import convert_to_gptj
from model_runtime.checkpoints.loading import LoadedModel, load
from model_runtime.checkpoints.placement import plan
from model_runtime.checkpoints.plain import convert_to_hf
from model_runtime.checkpoints.verification import verify_checkpoint
from model_runtime.checkpoints.weights import INT8
from model_runtime.checkpoints.writing import CannotWrite, checkpoint_writer

__all__ = [
    "INT8",
    "CannotWrite",
    "LoadedModel",
    "checkpoint_writer",
    "convert_to_gptj",
    "convert_to_hf",
    "load",
    "plan",
    "verify_checkpoint",
]
