"""Rounding in half precision: which greedy texts it allows beside the one that a test expects.

How a sum is rounded depends on how many tokens are computed together. In fp32 texts have to be equal all the
same. In half precision logits are so coarse that some tie, and then rounding decides about a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model_runtime.checkpoints import AnyDecoder
from model_runtime.torch_decoder import Decoder

TIED = 4
"""Logits tie that differ by no more than so many steps of their precision. In passes of other widths those of
random models were up to 3 steps off, and tokens that changed places were less than 2 apart."""


def rounding_error(logits: Tensor) -> Tensor:
    """How far the likeliest of logits (…, vocab) may be off: (…,)"""
    return TIED * torch.finfo(logits.dtype).eps * logits.abs().amax(dim=-1).float()


def is_rounding(decoder: AnyDecoder, prompt: Sequence[int], made: Sequence[int]) -> bool:
    """Whether `made` is a greedy continuation of `prompt` in all but rounding; never so in fp32."""
    if not isinstance(decoder, Decoder) or decoder.dtype == torch.float32:
        return False
    logits = decoder.forward([*prompt, *made][:-1], decoder.new_cache(), "all")[len(prompt) - 1 :]
    taken = logits.gather(1, torch.tensor(made)[:, None])[:, 0]
    return bool((logits.amax(dim=1).float() - taken.float() <= rounding_error(logits)).all())
