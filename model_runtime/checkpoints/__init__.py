"""Checkpoint folders on disk to a decoder that is ready to run."""

from model_runtime.checkpoints.loading import LoadedModel, load

__all__ = ["LoadedModel", "load"]
