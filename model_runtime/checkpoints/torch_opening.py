"""Opens torch's decoder with a checkpoint's weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from model_runtime.api import Dtype, LoadProgress, UnsupportedModel
from model_runtime.checkpoints.reading import (
    BITS,
    Placement,
    QuantizedFormat,
    grouped,
    is_matrix,
    reported,
)
from model_runtime.checkpoints.torch_weights import TorchWeights
from model_runtime.checkpoints.weights import Weights, is_quantized
from model_runtime.decoding import MatrixFormat
from model_runtime.torch_decoder import DTYPES, Decoder, Int8Weight, Weight


def open_torch(
    weights: Weights,
    device: str | Placement,
    dtype: Dtype,
    matrices: MatrixFormat,
    progress: LoadProgress | None,
) -> tuple[Decoder, QuantizedFormat | None]:
    """A decoder, and the format of its matrices, None for floats; arguments and errors as those of `load`."""
    if device == "cpu" and matrices in BITS:
        return Decoder(weights.config, dict(_restored(weights, dtype, matrices, progress))), None
    if matrices == "int4":
        raise UnsupportedModel("int4 is for the CPU: use --quantize int8, or --device cpu")
    int8 = matrices == "int8" or (matrices == "stored" and is_quantized(weights.checkpoint.config))
    placement = device if isinstance(device, str) else device(weights.config, dtype, int8)
    tensors = TorchWeights(weights, dtype=DTYPES[dtype], device=placement)
    read: dict[str, Weight] = {}
    for name in reported(weights, progress):
        quantized = matrices == "int8" or (matrices == "stored" and weights.is_int8(name))
        read[name] = tensors.int8(name) if quantized and is_matrix(weights, name) else tensors[name]
    return Decoder(weights.config, read), "int8" if any(map(_computes_int8, read.values())) else None


def _restored(
    weights: Weights, dtype: Dtype, matrices: MatrixFormat, progress: LoadProgress | None
) -> Iterator[tuple[str, Weight]]:
    """Matrices in groups, as the native engine would have them, restored to floats; and all other weights."""
    tensors = TorchWeights(weights, dtype=DTYPES[dtype])
    for name in reported(weights, progress):
        if is_matrix(weights, name):
            floats = grouped(weights, name, BITS[matrices]).dequantized()
            yield name, torch.from_numpy(floats).to(DTYPES[dtype])
        else:
            yield name, tensors[name]


def _computes_int8(weight: Weight) -> bool:
    """Whether products are computed in int8: a CPU dequantises the weight."""
    return isinstance(weight, Int8Weight) and weight.device.type != "cpu"
