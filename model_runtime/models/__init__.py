"""Model names, the models on this machine, and downloads. Imports no torch."""

from model_runtime.models.hub import DownloadFailed
from model_runtime.models.registry import DEFAULT_MODEL, DEFAULT_NAME, list_models, pull, resolve

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_NAME",
    "DownloadFailed",
    "list_models",
    "pull",
    "resolve",
]
