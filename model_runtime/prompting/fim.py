"""How families mark the parts of a fill-in-the-middle prompt, and the layouts that they were trained on.

Beside `prompt`, which chooses the text. Sentinels are found by their spelling in the checkpoint's own
tokenizer and go into a prompt as ids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from model_runtime.tokenization import Tokenizer

Trained = Literal["psm", "spm"]


@dataclass(frozen=True)
class Family:
    """A row of `FAMILIES`.

    `stops` end a completion, besides the end of text; a checkpoint need not have them all.
    """

    prefix: tuple[str, ...]
    suffix: tuple[str, ...]
    middle: tuple[str, ...]
    trained: frozenset[Trained]
    stops: tuple[str, ...] = ()


PSM: frozenset[Trained] = frozenset({"psm"})
PSM_AND_SPM: frozenset[Trained] = frozenset({"psm", "spm"})

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
    # Code Llama: arXiv:2308.12950, section 2.3. 7B, 13B and 70B were trained so. 34B and the Python models
    # were not and have no rows for the sentinels, though a tokenizer that came along may spell them.
    Family(("▁<PRE>",), ("▁<SUF>",), ("▁<MID>",), PSM_AND_SPM, ("▁<EOT>",)),
    # Qwen2.5-Coder: arXiv:2409.12186, PSM alone. CodeGemma: arXiv:2406.11409; of its SPM it is not said
    # which of the variants it is.
    Family(
        ("<|fim_prefix|>",),
        ("<|fim_suffix|>",),
        ("<|fim_middle|>",),
        PSM,
        ("<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|file_separator|>", "<|endoftext|>", "<|im_end|>"),
    ),
    # DeepSeek-Coder: arXiv:2401.14196. Its "hole" stands where the middle belongs.
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
    """The ids of the tokens that mark a prompt's parts; the layouts trained with them; what ends a middle."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    middle: tuple[int, ...]
    trained: frozenset[Trained] = PSM_AND_SPM
    stops: frozenset[int] = frozenset()

    @property
    def count(self) -> int:
        """How many tokens of a prompt they take."""
        return len(self.prefix) + len(self.suffix) + len(self.middle)


def find_sentinels(tokenizer: Tokenizer, vocabulary: int | None = None) -> Sentinels | None:
    """The fill-in-the-middle sentinels of a checkpoint's own tokenizer, or None where it has none.

    With the size of the model's `vocabulary`, only those that the model has a row for: a tokenizer may come
    from a relative that was trained to fill in. Whether the model was, nothing else in a checkpoint tells.
    """

    def known(spellings: Sequence[str]) -> tuple[int, ...]:
        ids = (tokenizer.token_id(spelling) for spelling in spellings)
        return tuple(id_ for id_ in ids if id_ is not None and (vocabulary is None or id_ < vocabulary))

    for family in FAMILIES:
        prefix, suffix, middle = known(family.prefix), known(family.suffix), known(family.middle)
        found = Sentinels(prefix, suffix, middle, family.trained, frozenset(known(family.stops)))
        if found.count == len(family.prefix + family.suffix + family.middle):
            return found
    return None


def psm(sentinels: Sentinels, prefix: list[int], suffix: list[int]) -> list[int]:
    """Prefix, suffix, middle (Bavarian et al., arXiv:2207.14255)."""
    return [*sentinels.prefix, *prefix, *sentinels.suffix, *suffix, *sentinels.middle]


def spm(sentinels: Sentinels, prefix: list[int], suffix: list[int]) -> list[int]:
    """Suffix, prefix, middle, the paper's variant 2, which BigCode and Meta train: typing only appends."""
    return [*sentinels.prefix, *sentinels.suffix, *suffix, *sentinels.middle, *prefix]


def typed_line(sentinels: Sentinels, head: list[int], typed: list[int], suffix: list[int]) -> list[int]:
    """PSM whose middle begins where the line does, with what is typed of it: typing on it only appends."""
    return [*psm(sentinels, head, suffix), *typed]
