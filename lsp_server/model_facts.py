"""What a model takes of the machine, in words: for `fimble doctor`, and for an editor's status."""

from __future__ import annotations

from model_runtime.api import MemoryUse, ModelInfo


def in_short(info: ModelInfo) -> str:
    """A few words for a tooltip: what computes, in which format, and how much memory it takes."""
    words = f"{info.engine}, {info.dtype}"
    if (use := info.memory) is None:
        return words
    return f"{words}: {megabytes(use.weight_bytes)}, KV cache up to {megabytes(use.cache_bytes)}"


def memory(use: MemoryUse) -> str:
    """What the weights take, and what the KV cache can take."""
    cache = f"KV cache up to {megabytes(use.cache_bytes)} ({use.cache_tokens:,} tokens)"
    return f"{megabytes(use.weight_bytes)} of weights, {cache}"


def megabytes(size: int) -> str:
    """A number of bytes in megabytes as `memoryMb` counts them, 2²⁰ bytes."""
    return f"{max(1, round(size / 2**20)):,} MB"
