"""Each implementation of attention equals scaled dot-product attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention

from model_runtime.torch_decoder.attention import (
    MAX_FOLDED_TOKENS,
    GroupedAttention,
    causal_mask,
    unfused_attention,
)
from tests.model_runtime.torch_decoder.steps import CODEGEN


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("length", [1, 5])
def test_unfused_attention_for_apples_gpus_equals_the_fused_one(length: int, dtype: torch.dtype) -> None:
    q, cached = draw(2, 3, length, 8, seed=0).to(dtype), draw(2, 2, 1, 40, 8, seed=1).to(dtype)
    keys, values = cached[..., : 20 + length, :].expand(-1, -1, 3, -1, -1)  # part of a cache, heads shared
    mask = causal_mask(20, length, dtype, q.device)
    expected = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=0.3)
    found = unfused_attention(q, keys, values, mask, 0.3)
    torch.testing.assert_close(found, expected, atol=2e-3 if dtype == torch.float16 else 1e-6, rtol=1e-3)


@pytest.mark.parametrize("length", [1, 2, MAX_FOLDED_TOKENS, MAX_FOLDED_TOKENS + 1])
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_heads_that_share_keys_see_what_they_would_see_alone(kv_heads: int, length: int) -> None:
    config = replace(CODEGEN, heads=6, kv_heads=kv_heads, head_dim=8)
    q, start = draw(length, 6, 8, seed=0), 10
    keys, values = draw(2, kv_heads, 1, start + length, 8, seed=1)
    mask = causal_mask(start, length, torch.float32, q.device)
    k, v = (each[:, 0].repeat_interleave(6 // kv_heads, dim=0) for each in (keys, values))
    expected = F.scaled_dot_product_attention(
        q.transpose(0, 1), k, v, attn_mask=mask, scale=config.attention_scale
    )
    found = GroupedAttention(config, mask)(q, keys, values)
    torch.testing.assert_close(found, expected.transpose(0, 1).reshape(length, 48), atol=1e-5, rtol=1e-4)
