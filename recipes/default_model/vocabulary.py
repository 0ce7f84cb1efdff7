"""The default model's vocabulary: a byte-level BPE tokenizer trained on the corpus.

A line break and the indentation after it are not split, so that BPE can make single tokens of them and the
first word of a line is the same token at every depth. The sentinels have the names of StarCoder's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

if TYPE_CHECKING:
    from model_runtime.training import SpecialTokens

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD = "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>"
CONTROL_TOKENS = (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD)
SPLITTING = (
    r"(?:\r?\n)+[ \t]*"  # line breaks with the indentation that follows
    r"| ?\p{L}+"
    r"| ?\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|[^\S\r\n]+(?!\S)"  # all but the last of several spaces, which belongs to the next word
    r"|\s"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a vocabulary of `vocab_size` tokens; the control tokens have the ids 0, 1, 2, …"""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(SPLITTING), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=True,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The ids of the control tokens.

    Raises:
        ValueError: the tokenizer lacks one.
    """
    from model_runtime.training import (
        SpecialTokens,
    )  # imports torch, which training a tokenizer does not need

    return SpecialTokens(
        end_of_text=_id(tokenizer, END_OF_TEXT),
        prefix=_id(tokenizer, FIM_PREFIX),
        middle=_id(tokenizer, FIM_MIDDLE),
        suffix=_id(tokenizer, FIM_SUFFIX),
        padding=_id(tokenizer, FIM_PAD),
    )


def _id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no {token}: make it with the step `tokenizer`")
    return number
