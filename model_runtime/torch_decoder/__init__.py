"""The decoder in torch, for GPUs, for the CPU without the native engine, and as its reference.

With it its KV cache, int8 weights, CUDA graphs and Triton kernels.
"""

from model_runtime.torch_decoder.acceleration import Acceleration
from model_runtime.torch_decoder.cache import Cache
from model_runtime.torch_decoder.decoder import Decoder
from model_runtime.torch_decoder.int8 import Int8Weight, quantize
from model_runtime.torch_decoder.layers import Projection
from model_runtime.torch_decoder.precision import DTYPES
from model_runtime.torch_decoder.projections import Weight

__all__ = [
    "DTYPES",
    "Acceleration",
    "Cache",
    "Decoder",
    "Int8Weight",
    "Projection",
    "Weight",
    "quantize",
]
