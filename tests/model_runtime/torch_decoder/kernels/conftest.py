"""Fixtures for tests of Triton's kernels."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from model_runtime.torch_decoder.graphs import CudaCapture
from tests.model_runtime.torch_decoder.kernels.device import DEVICE, DTYPES
from tests.model_runtime.torch_decoder.tape import Recorder, perform


@pytest.fixture(params=list(DTYPES.values()), ids=list(DTYPES))
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """Each precision of activations in turn."""
    found: torch.dtype = request.param
    return found


@pytest.fixture(autouse=True)
def bf16_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter holds a number in bf16 as an integer of the same bits.

    It takes that into account between floating-point types, but not in products, whose operands would be the
    integers, nor for integers, which would become the bits.
    """
    if DEVICE == "cuda":
        return
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    dot, cast = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl

    def create_dot(builder: Any, a: Any, b: Any, *rest: Any) -> Any:
        a, b = (cast(builder, each, tl.float32) if each.dtype == tl.bfloat16 else each for each in (a, b))
        return dot(builder, a, b, *rest)

    def cast_impl(builder: Any, source: Any, target: Any) -> Any:
        if target.scalar == tl.bfloat16 and not source.dtype.is_floating():
            source = cast(builder, source, tl.float32)
        return cast(builder, source, target)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)
    monkeypatch.setattr(InterpreterBuilder, "cast_impl", cast_impl)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder | CudaCapture:
    """Records graphs with launches of kernels in them, which the interpreter does not announce to torch."""
    if DEVICE == "cuda":
        return CudaCapture(torch.device(DEVICE, 0))
    from triton.runtime.interpreter import GridExecutor

    launch = GridExecutor.__call__

    def announced(executor: Any, *args: Any, **kwargs: Any) -> None:
        perform(partial(launch, executor), *args, **kwargs)

    monkeypatch.setattr(GridExecutor, "__call__", announced)
    return Recorder()
