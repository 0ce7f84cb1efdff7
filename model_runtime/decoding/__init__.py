"""The decoder, its KV cache and the generation loop: config and weights in, token ids out."""

from model_runtime.decoding.acceleration import Acceleration
from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import Activation, Biased, DecoderConfig, Rotary
from model_runtime.decoding.decoder import Decoder
from model_runtime.decoding.generate import generate
from model_runtime.decoding.int8 import Int8Weight, MatrixFormat, quantize
from model_runtime.decoding.layers import Projection
from model_runtime.decoding.projections import Weight
from model_runtime.decoding.sampling import Sampler
from model_runtime.decoding.sequence import CachedSequence
from model_runtime.decoding.shapes import weight_shapes
from model_runtime.decoding.speculate import AcceptanceStats, Drafter, NgramDrafter

__all__ = [
    "Acceleration",
    "AcceptanceStats",
    "Activation",
    "Biased",
    "Cache",
    "CachedSequence",
    "Decoder",
    "DecoderConfig",
    "Drafter",
    "Int8Weight",
    "MatrixFormat",
    "NgramDrafter",
    "Projection",
    "Rotary",
    "Sampler",
    "Weight",
    "generate",
    "quantize",
    "weight_shapes",
]
