"""Tensors only: a checkpoint's facts and weights in, token ids out. Imports nothing else of the runtime."""

from model_runtime.decoding.acceleration import Acceleration
from model_runtime.decoding.cache import Cache
from model_runtime.decoding.config import Activation, Biased, DecoderConfig, Rotary
from model_runtime.decoding.decoder import Decoder
from model_runtime.decoding.generate import generate
from model_runtime.decoding.int8 import (
    Int8Weight,
    Matrices,
    PackedWeight,
    has_int8_kernel,
    packed,
    quantize,
)
from model_runtime.decoding.layers import Projection
from model_runtime.decoding.products import Weight
from model_runtime.decoding.sampling import Sampler
from model_runtime.decoding.shapes import weight_shapes
from model_runtime.decoding.speculate import Drafter, NgramDrafter, Odds

__all__ = [
    "Acceleration",
    "Activation",
    "Biased",
    "Cache",
    "Decoder",
    "DecoderConfig",
    "Drafter",
    "Int8Weight",
    "Matrices",
    "NgramDrafter",
    "Odds",
    "PackedWeight",
    "Projection",
    "Rotary",
    "Sampler",
    "Weight",
    "generate",
    "has_int8_kernel",
    "packed",
    "quantize",
    "weight_shapes",
]
