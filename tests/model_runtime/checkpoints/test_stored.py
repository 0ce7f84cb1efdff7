"""Stored tensors are the same in numpy and in torch, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_runtime.checkpoints.stored import FLOATS, TORCH_NAMES, Stored, tensor_at

EVERY = [(getattr(torch, name.removeprefix("torch.")), dtype) for name, dtype in TORCH_NAMES.items()]


@pytest.mark.parametrize(("dtype", "name"), EVERY, ids=[name for _, name in EVERY])
def test_a_tensor_goes_to_numpy_and_back(dtype: torch.dtype, name: str) -> None:
    tensor = torch.arange(24).reshape(4, 6).to(dtype)
    stored = Stored.of(tensor)
    assert (stored.dtype, stored.shape, stored.nbytes) == (name, (4, 6), tensor.nbytes)
    assert stored.tensor().dtype == dtype
    assert torch.equal(stored.tensor(), tensor)
    assert stored.tensor().data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("name", sorted(FLOATS))
def test_floats_are_those_of_torch(name: str) -> None:
    dtype = next(dtype for dtype, known in EVERY if known == name)
    numbers = torch.tensor([0.0, -0.0, 1e-7, -3.14159, 65504.0, torch.inf, -torch.inf, torch.nan]).to(dtype)
    expected = numbers.float().numpy().view(np.uint32)
    assert np.array_equal(Stored.of(numbers).floats().view(np.uint32), expected)


def test_a_tensor_that_does_not_lie_where_its_numbers_should_is_copied() -> None:
    numbers = np.arange(6, dtype=np.float32)
    mapped = np.frombuffer(b"\0" + numbers.tobytes(), np.uint8)
    stored = tensor_at(mapped, 1, 25, "F32", (2, 3))
    assert stored.values.flags.aligned
    assert np.array_equal(stored.values, numbers.reshape(2, 3))
