"""Reads a `.bin` file that `torch.save` wrote, for which torch is imported."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from model_runtime.api import CorruptCheckpoint
from model_runtime.checkpoints.stored import Stored


def load_pickle(path: Path) -> Mapping[str, Callable[[], Stored]]:
    """For each tensor's name, a function that returns the tensor, memory-mapped.

    Raises:
        CorruptCheckpoint: the file is damaged, or contains something else.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CorruptCheckpoint(
            f"{path} is damaged, or holds more than tensors, which could run code: use a safetensors file"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise CorruptCheckpoint(
            f"{path} is damaged or in the format from before torch 1.6: "
            "download it again, or save it again with a newer torch"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise CorruptCheckpoint(f"{path} does not map names to tensors: it is no weights file")
    return {name: partial(Stored.of, tensor.detach()) for name, tensor in content.items()}
