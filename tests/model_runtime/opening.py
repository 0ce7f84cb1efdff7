"""Opens a checkpoint with one kind of decoder."""

from __future__ import annotations

from pathlib import Path

from model_runtime.api import Dtype
from model_runtime.checkpoints import load
from model_runtime.torch_decoder import Decoder


def open_torch(path: Path, dtype: Dtype = "fp32") -> Decoder:
    """Torch's decoder with the checkpoint's weights, as floats on the CPU."""
    decoder = load(path, device="cpu", dtype=dtype).decoder
    assert isinstance(decoder, Decoder)
    return decoder
