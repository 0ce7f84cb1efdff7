"""Fill-in-the-middle sentinels of each model family, and the prompt layouts that the family was trained on.

Sentinels are found by their spelling in the checkpoint's own tokenizer, and enter a prompt only as ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from model_runtime.tokenization import Tokenizer

TrainedLayout = Literal["psm", "spm"]
"""Prefix, suffix, middle or suffix, prefix, middle."""


@dataclass(frozen=True)
class Family:
    """How a model family spells its sentinels.

    Attributes:
        prefix, suffix, middle: the sentinels of each part.
        layouts: the layouts in the family's training data.
        stops: tokens that end a completion, besides the end of text; a checkpoint need not have them all.
    """

    prefix: tuple[str, ...]
    suffix: tuple[str, ...]
    middle: tuple[str, ...]
    layouts: frozenset[TrainedLayout]
    stops: tuple[str, ...] = ()


PSM: frozenset[TrainedLayout] = frozenset({"psm"})
PSM_AND_SPM: frozenset[TrainedLayout] = frozenset({"psm", "spm"})

FAMILIES = (
    # StarCoder, StarCoder2, Granite code, tiny_starcoder, our own: arXiv:2305.06161, arXiv:2402.19173.
    Family(
        ("<fim_prefix>",),
        ("<fim_suffix>",),
        ("<fim_middle>",),
        PSM_AND_SPM,
        ("<fim_pad>", "<file_sep>", "<filename>", "<repo_name>", "<reponame>"),
    ),
    # SantaCoder: arXiv:2301.03988.
    Family(("<fim-prefix>",), ("<fim-suffix>",), ("<fim-middle>",), PSM_AND_SPM, ("<fim-pad>",)),
    # Code Llama: arXiv:2308.12950, section 2.3, for 7B, 13B and 70B. 34B and the Python models were not
    # trained to infill and have no embeddings for the sentinels, though their tokenizers may have them.
    Family(("▁<PRE>",), ("▁<SUF>",), ("▁<MID>",), PSM_AND_SPM, ("▁<EOT>",)),
    # Qwen2.5-Coder: arXiv:2409.12186, PSM only. CodeGemma: arXiv:2406.11409, which does not say
    # which variant of SPM it uses.
    Family(
        ("<|fim_prefix|>",),
        ("<|fim_suffix|>",),
        ("<|fim_middle|>",),
        PSM,
        ("<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|file_separator|>", "<|endoftext|>", "<|im_end|>"),
    ),
    # DeepSeek-Coder: arXiv:2401.14196. Its "hole" marks the place of the middle.
    Family(
        ("<｜fim▁begin｜>",),
        ("<｜fim▁hole｜>",),
        ("<｜fim▁end｜>",),
        PSM,
        ("<｜end▁of▁sentence｜>", "<|EOT|>"),
    ),
    # CodeGen2: arXiv:2305.02309, and the model cards.
    Family((), ("<mask_1>",), ("<|endoftext|>", "<sep>", "<mask_1>"), PSM, ("<eom>",)),
)


@dataclass(frozen=True)
class Sentinels:
    """Token ids of the sentinels, the layouts trained with them, and the tokens that end the middle."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    middle: tuple[int, ...]
    layouts: frozenset[TrainedLayout] = PSM_AND_SPM
    stops: frozenset[int] = frozenset()

    @property
    def count(self) -> int:
        """The number of sentinel tokens in a prompt."""
        return len(self.prefix) + len(self.suffix) + len(self.middle)


def find_sentinels(tokenizer: Tokenizer, vocab_size: int | None = None) -> Sentinels | None:
    """The fill-in-the-middle sentinels of a tokenizer, or None where it has none.

    Args:
        tokenizer: the checkpoint's own.
        vocab_size: the model's number of embeddings. Sentinels without one are ignored: the tokenizer may be
            that of a related model that was trained to infill. Nothing else in a checkpoint tells.
    """

    def known(spellings: Sequence[str]) -> tuple[int, ...]:
        ids = (tokenizer.token_id(spelling) for spelling in spellings)
        return tuple(id_ for id_ in ids if id_ is not None and (vocab_size is None or id_ < vocab_size))

    for family in FAMILIES:
        prefix, suffix, middle = known(family.prefix), known(family.suffix), known(family.middle)
        found = Sentinels(prefix, suffix, middle, family.layouts, frozenset(known(family.stops)))
        if found.count == len(family.prefix + family.suffix + family.middle):
            return found
    return None


def psm(sentinels: Sentinels, prefix: list[int], suffix: list[int]) -> list[int]:
    """Prefix, suffix, middle (Bavarian et al., arXiv:2207.14255)."""
    return [*sentinels.prefix, *prefix, *sentinels.suffix, *suffix, *sentinels.middle]


def spm(sentinels: Sentinels, prefix: list[int], suffix: list[int]) -> list[int]:
    """Suffix, prefix, middle (the paper's variant 2, of BigCode and Meta): typing only appends tokens."""
    return [*sentinels.prefix, *sentinels.suffix, *suffix, *sentinels.middle, *prefix]


def psm_typed_line(sentinels: Sentinels, before: list[int], line: list[int], suffix: list[int]) -> list[int]:
    """PSM whose middle begins with the typed part of the cursor's line: typing only appends tokens."""
    return [*psm(sentinels, before, suffix), *line]
