"""``fimble verify``: compares the decoder with transformers' model of the same checkpoint."""

from model_runtime.checkpoints.verification.verify import verify_checkpoint

__all__ = ["verify_checkpoint"]
