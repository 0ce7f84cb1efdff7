"""What all decoders have in common: config, weights' shapes, the generation loop, sampling and drafts.

Imports no torch.
"""

from model_runtime.decoding.config import Activation, Biased, DecoderConfig, MatrixFormat, Rotary
from model_runtime.decoding.generate import generate
from model_runtime.decoding.logits import Logits, TensorLike, as_logits
from model_runtime.decoding.sampling import Sampler
from model_runtime.decoding.sequence import CachedSequence
from model_runtime.decoding.shapes import weight_shapes
from model_runtime.decoding.speculate import AcceptanceStats, Drafter, NgramDrafter

__all__ = [
    "AcceptanceStats",
    "Activation",
    "Biased",
    "CachedSequence",
    "DecoderConfig",
    "Drafter",
    "Logits",
    "MatrixFormat",
    "NgramDrafter",
    "Rotary",
    "Sampler",
    "TensorLike",
    "as_logits",
    "generate",
    "weight_shapes",
]
