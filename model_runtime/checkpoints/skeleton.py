"""Stands in for a decoder where accelerate asks for torch's modules: the same modules, of the same sizes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class Module(nn.Module):
    """A module of a given size in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bytes = nn.Parameter(torch.empty(size, dtype=torch.uint8), requires_grad=False)


class Block(Module):
    """A decoder's block; accelerate is told by this name not to split it."""


def skeleton(sizes: Mapping[str, int]) -> nn.ModuleDict:
    """The modules of these sizes in bytes, in their order."""
    blocks = nn.ModuleList(Block(size) for name, size in sizes.items() if name.startswith("blocks."))
    ends = {name: Module(size) for name, size in sizes.items() if not name.startswith("blocks.")}
    return nn.ModuleDict({"embedding": ends.pop("embedding"), "blocks": blocks, **ends})
