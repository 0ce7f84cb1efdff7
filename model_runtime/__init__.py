"""Runs code models on the user's own machine.

    import asyncio
    from model_runtime import CompletionRequest, open_backend

    async def main() -> None:
        backend = open_backend()
        async for chunk in backend.complete(CompletionRequest(prefix="def add(a, b):\n    ")):
            print(chunk.text, end="", flush=True)
        await backend.close()

    asyncio.run(main())

Importing this package imports no torch; opening a backend does, when it loads, in its own thread.
"""

from model_runtime.api import (
    Backend,
    BackendClosed,
    BackendError,
    Chunk,
    CompletionRequest,
    CorruptCheckpoint,
    Device,
    DeviceUnavailable,
    Dtype,
    FinishReason,
    InvalidRequest,
    LoadProgress,
    ModelInfo,
    ModelNotFound,
    ModelOptions,
    OutOfMemory,
    Snippet,
    UnsupportedModel,
    Usage,
)

__all__ = [
    "Backend",
    "BackendClosed",
    "BackendError",
    "Chunk",
    "CompletionRequest",
    "CorruptCheckpoint",
    "Device",
    "DeviceUnavailable",
    "Dtype",
    "FinishReason",
    "InvalidRequest",
    "LoadProgress",
    "ModelInfo",
    "ModelNotFound",
    "ModelOptions",
    "OutOfMemory",
    "Snippet",
    "UnsupportedModel",
    "Usage",
    "open_backend",
]


def open_backend(options: ModelOptions | None = None) -> Backend:
    """Open a model: the default one, or what `options` name. Returns at once; loading comes with use."""
    from model_runtime.local import LocalBackend  # imports no torch until it loads

    return LocalBackend(options or ModelOptions())
