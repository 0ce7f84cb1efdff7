"""Checkpoint folders on disk to a decoder that is ready to run, and what else is done with such folders.

What handles tensors is imported when it is first asked for: models can be listed, found and fetched without
waiting for torch.
"""

from typing import TYPE_CHECKING, Any

from model_runtime.checkpoints.hub import DownloadFailed
from model_runtime.checkpoints.registry import (
    DEFAULT_NAME,
    default_models_folder,
    list_models,
    pull,
    resolve,
)

if TYPE_CHECKING:
    from model_runtime.checkpoints.convert import convert_to_gptj
    from model_runtime.checkpoints.loading import LoadedModel, load
    from model_runtime.checkpoints.placement import plan
    from model_runtime.checkpoints.plain import convert_to_plain
    from model_runtime.checkpoints.verify import verify_checkpoint
    from model_runtime.checkpoints.weights import INT8
    from model_runtime.checkpoints.writing import CannotWrite, checkpoint_writer

__all__ = [
    "DEFAULT_NAME",
    "INT8",
    "CannotWrite",
    "DownloadFailed",
    "LoadedModel",
    "checkpoint_writer",
    "convert_to_gptj",
    "convert_to_plain",
    "default_models_folder",
    "list_models",
    "load",
    "plan",
    "pull",
    "resolve",
    "verify_checkpoint",
]

_ROOMS = {
    "INT8": "weights",
    "LoadedModel": "loading",
    "load": "loading",
    "convert_to_gptj": "convert",
    "plan": "placement",
    "convert_to_plain": "plain",
    "verify_checkpoint": "verify",
    "CannotWrite": "writing",
    "checkpoint_writer": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
