"""The local backend: one thread owns the model, a scheduler decides whose request runs next."""

from model_runtime.backend.local import LocalBackend
from model_runtime.backend.openmp import sleep_when_waiting

__all__ = [
    "LocalBackend",
    "sleep_when_waiting",
]
