"""Reads and checks the vocabulary in a GGUF file's metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from model_runtime.api import CorruptCheckpoint

NAMED = (
    "bos", "eos", "eot", "eom",
    "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep",
    "prefix", "suffix", "middle",
)  # fmt: skip
"""Tokens that metadata refers to and that stand for no text, whatever their type. Padding is not among them:
for models without it, files refer to some ordinary token."""

NO_TOKEN = (-1, 2**32 - 1)
"""Ids that stand for no token: -1, also as an unsigned number."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens and their types by id, without padding of the embedding; `named` are the ids of `NAMED`."""

    tokens: Mapping[int, str]
    types: Mapping[int, int]
    named: frozenset[int]

    @classmethod
    def read(cls, path: Path, metadata: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of the file `path`.

        Raises:
            CorruptCheckpoint: it is incomplete or contradicts itself.
        """
        spellings = listed(path, metadata, "tokens", str)
        # Early files have no types.
        types = [TokenType.NORMAL] * len(spellings)
        if "tokenizer.ggml.token_type" in metadata:
            types = listed(path, metadata, "token_type", int, len(spellings))
        tokens = {
            token: spelling for token, spelling in enumerate(spellings) if types[token] != TokenType.UNUSED
        }
        if len(set(tokens.values())) != len(tokens):
            raise CorruptCheckpoint(f"{path} has a token twice in its vocabulary: download or copy it again")
        named = {special_id(metadata, name) for name in NAMED}
        return cls(tokens, dict(enumerate(types)), frozenset(token for token in tokens if token in named))

    @property
    def ids(self) -> dict[str, int]:
        """The tokens' ids, by spelling."""
        return {spelling: token for token, spelling in self.tokens.items()}

    def added(self, special: Collection[int]) -> list[dict[str, Any]]:
        """tokenizer.json's `added_tokens`: special tokens, and those that are matched before all others."""
        return [
            {
                "id": token,
                "content": spelling,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": token in special,
            }
            for token, spelling in self.tokens.items()
            if token in special or self.types[token] == TokenType.USER_DEFINED
        ]


def special_id(metadata: Mapping[str, Any], name: str) -> int | None:
    """The id of the token with a role such as "bos"; None if there is none, for which some files say -1."""
    token = metadata.get(f"tokenizer.ggml.{name}_token_id")
    return token if isinstance(token, int) and token not in NO_TOKEN else None


def listed(
    path: Path,
    metadata: Mapping[str, Any],
    key: str,
    kind: type | tuple[type, ...],
    length: int | None = None,
) -> list[Any]:
    """The list `key` of a file's tokenizer, with elements of a `kind`, and of a `length` if one is given.

    Raises:
        CorruptCheckpoint: it is missing or does not fit.
    """
    values = metadata.get(f"tokenizer.ggml.{key}")
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise CorruptCheckpoint(f"{path} has no sound tokenizer.ggml.{key}: download or copy it again")
    if length is not None and len(values) != length:
        raise CorruptCheckpoint(
            f"{path} has {length} tokens and a tokenizer.ggml.{key} for {len(values)}: "
            "download or copy it again"
        )
    return values
