"""Tensors only: a checkpoint's facts and weights in, token ids out. Imports nothing else of the runtime."""

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import Activation, Biased, DecoderConfig, Rotary
from model_runtime.decoding.decoder import Decoder
from model_runtime.decoding.generate import generate
from model_runtime.decoding.layers import Projection
from model_runtime.decoding.sampling import Sampler
from model_runtime.decoding.shapes import weight_shapes

__all__ = [
    "Activation",
    "Biased",
    "Cache",
    "Decoder",
    "DecoderConfig",
    "Projection",
    "Rotary",
    "Sampler",
    "generate",
    "weight_shapes",
]
