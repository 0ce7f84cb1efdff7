"""The local backend: one thread owns the model, and a scheduler decides which request runs next."""

from model_runtime.backend.local import LocalBackend
from model_runtime.backend.openmp import limit_openmp_spinning

__all__ = [
    "LocalBackend",
    "limit_openmp_spinning",
]
