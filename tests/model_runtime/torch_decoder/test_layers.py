"""Layers that do not use torch's own implementation equal it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention

from model_runtime.torch_decoder.layers import GeluTanh


def test_gelu_is_torchs_from_one_end_of_floats_to_the_other() -> None:
    magnitudes = torch.logspace(-30, 30, 2001)
    x = torch.cat((-magnitudes, torch.zeros(1), magnitudes, torch.linspace(-12, 12, 4001)))
    torch.testing.assert_close(GeluTanh()(x), F.gelu(x, approximate="tanh"), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gelu_in_half_precision_is_torchs_own(dtype: torch.dtype) -> None:
    x = torch.linspace(-8, 8, 200, dtype=dtype)
    assert torch.equal(GeluTanh()(x), F.gelu(x, approximate="tanh"))
