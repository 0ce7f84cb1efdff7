"""Pre-tokenizers of byte-level BPE, by their names in GGUF files (`tokenizer.ggml.pre`).

They are the originals from the models' own tokenizer.json; llama.cpp's are in its `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


def _byte_level(*, use_regex: bool) -> Json:
    """Bytes as printable characters; with `use_regex`, after GPT-2's splitting."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _sequence(*steps: Json) -> Json:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def _isolate(pattern: str) -> Json:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


DIGITS = {"type": "Digits", "individual_digits": True}

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
"""The beginning of GPT-4's pattern and its successors'."""

SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
"""The end of the same patterns."""


@dataclass(frozen=True)
class Splitting:
    """What a tokenizer does besides BPE.

    Attributes:
        pre_tokenizer: splits text, as in tokenizer.json.
        normalizer: comes before, as in tokenizer.json.
        whole_words: whether a word that is a token is used without applying merges.
        adds_bos: whether texts begin with the beginning-of-text token, if the file does not say.
    """

    pre_tokenizer: Json
    normalizer: Json | None = None
    whole_words: bool = False
    adds_bos: bool = False


GPT2 = Splitting(_byte_level(use_regex=True))

STARCODER = Splitting(_sequence(DIGITS, _byte_level(use_regex=True)))

LLAMA3 = Splitting(
    _sequence(
        _isolate(rf"{CONTRACTIONS}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}"),
        _byte_level(use_regex=False),
    ),
    whole_words=True,
    adds_bos=True,
)

QWEN2 = Splitting(
    _sequence(
        _isolate(rf"{CONTRACTIONS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}"),
        _byte_level(use_regex=False),
    ),
    normalizer={"type": "NFC"},
)

SEED_CODER = Splitting(
    _sequence(
        _isolate(rf"{CONTRACTIONS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{SPACES}"),
        _byte_level(use_regex=False),
    )
)

DEEPSEEK_CODER = Splitting(
    _sequence(
        _isolate(r"[\r\n]"),
        _isolate(r"\s?\p{L}+"),
        _isolate(r"\s?\p{P}+"),
        _isolate(r"[一-龥ࠀ-一가-퟿]+"),
        DIGITS,
        _byte_level(use_regex=False),
    )
)

SPLITTINGS: Mapping[str, Splitting] = {
    "gpt-2": GPT2,
    "phi-2": GPT2,
    "mpt": GPT2,
    "olmo": GPT2,
    "mellum": GPT2,
    "starcoder": STARCODER,
    "refact": STARCODER,
    "smollm": STARCODER,
    "codeshell": STARCODER,
    "llama-bpe": LLAMA3,
    "llama3": LLAMA3,
    "llama-v3": LLAMA3,
    "qwen2": QWEN2,
    "seed-coder": SEED_CODER,
    "deepseek-coder": DEEPSEEK_CODER,
}
