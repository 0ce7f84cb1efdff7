"""Tensors only: a checkpoint's facts and weights in, token ids out. Imports nothing else of the runtime."""

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import Activation, DecoderConfig
from model_runtime.decoding.decoder import Decoder, Projection, weight_shapes
from model_runtime.decoding.generate import generate
from model_runtime.decoding.sampling import Sampler

__all__ = [
    "Activation",
    "Cache",
    "Decoder",
    "DecoderConfig",
    "Projection",
    "Sampler",
    "generate",
    "weight_shapes",
]
