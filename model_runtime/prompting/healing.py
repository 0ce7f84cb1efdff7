"""Token healing: rolls back the tokens before a cursor inside a word, and has the model write them again.

A cursor inside a word splits it into tokens as it never was in training. So the end of the prefix that begins
a longer token is left out of the prompt, and the model writes it again in tokens of its choice, constrained
to the same bytes: after "pri" it writes " print" as one token, and "nt" is new. A line break may become one
token with the indentation after it. The prompt also stays the same while a word is typed. See Lundberg, "The
Art of Prompt Design: Prompt Boundaries and Token Healing", 2023.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model_runtime.tokenization import Tokenizer

Sample = Callable[[NDArray[np.float32]], int]
"""Logits (vocab,) → token id."""

WINDOW_CHARACTERS = 400
"""The most characters before the cursor that are tokenized to find where tokens begin."""

MAX_TOKENS = 6
"""The most tokens that are rolled back."""

NATS_PER_BYTE = 2.0
"""Assumed information of a byte of code. Values from 1 to 4 work equally well."""

WORD = "x"
"""Stands for a word after a space: most tokenizers join the space and the first letter in one token."""


class Healer:
    """Heals the prompts of one tokenizer. Construction takes tens of milliseconds for 50,000 tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = SortedVocabulary(tokenizer)

    def roll_back(self, prefix: str) -> tuple[str, str]:
        """Split a prefix into what the prompt keeps and what is rolled back.

        Rolled back are the most tokens of the last line whose text begins a longer token: mostly less than a
        word, or nothing. Line breaks are rolled back only at the very end of the prefix, because existing
        indentation is intended.
        """
        end, healed = b"", 0  # bytes
        for token in reversed(self._token_bytes(_last_lines(prefix))[-MAX_TOKENS:]):
            breaks = b"\n" in token or b"\r" in token
            if breaks and (end or not token.endswith((b"\n", b"\r"))):
                break
            end = token + end
            if end and not _starts_inside_character(end) and self._vocabulary.has_longer(end):
                healed = len(end)
            if breaks:
                break
        kept = len(prefix) - len(end[len(end) - healed :].decode())
        return prefix[:kept], prefix[kept:]

    def _token_bytes(self, text: str) -> list[bytes]:
        """The bytes of each token of a text. Space at its end is split as it will be before a word."""
        if text.endswith((" ", "\t")):
            *tokens, last = map(self._tokenizer.bytes_of, self._tokenizer.encode(text + WORD))
            return [*tokens, last[: -len(WORD)]]
        return list(map(self._tokenizer.bytes_of, self._tokenizer.encode(text)))

    def sampler(self, sample: Sample, rolled_back: str) -> Sample:
        """`sample` for one completion, constrained until it has written `rolled_back`."""
        if not rolled_back:
            return sample
        return _ConstrainedSampler(sample, self._tokenizer, self._vocabulary, rolled_back)


class SortedVocabulary:
    """A tokenizer's tokens sorted by their bytes, so that tokens with a common prefix are adjacent."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.vocabulary()
        self._texts = [text for text, _ in vocabulary]
        self._tokens = np.array([token for _, token in vocabulary])

    def has_longer(self, text: bytes) -> bool:
        """Whether there is a longer token that begins with `text`."""
        after = bisect_right(self._texts, text)
        return after < len(self._texts) and self._texts[after].startswith(text)

    def compatible(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The tokens that begin with `text`, and those that `text` begins with.

        Returns:
            Token ids, and the number of bytes of `text` that follow each token; both (count,).
        """
        start = bisect_left(self._texts, text)
        end = bisect_right(self._texts, text, start, key=lambda known: known[: len(text)])
        spans = [(start, end, 0)]
        for length in range(1, len(text)):
            start = bisect_left(self._texts, text[:length])
            spans.append((start, bisect_right(self._texts, text[:length], start), len(text) - length))
        tokens = np.concatenate([self._tokens[start:end] for start, end, _ in spans])
        left = np.concatenate([np.full(end - start, left, np.float32) for start, end, left in spans])
        return tokens, left


class _ConstrainedSampler:
    """A sampler that must first write given bytes. Control tokens have none, so they cannot come before.

    A token that covers only some of the bytes counts with the probability that the rest follows it. That is
    not known before it is chosen, so it is estimated from the number of bytes left.
    """

    def __init__(
        self, sample: Sample, tokenizer: Tokenizer, vocabulary: SortedVocabulary, rolled_back: str
    ) -> None:
        self._sample = sample
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._left = rolled_back.encode("utf-8", errors="replace")  # as the tokenizer does

    def __call__(self, logits: NDArray[np.float32]) -> int:
        """See `Sample`."""
        if not self._left:
            return self._sample(logits)
        allowed, left = self._vocabulary.compatible(self._left)
        constrained = np.full_like(logits, -np.inf)
        constrained[allowed] = logits[allowed] - NATS_PER_BYTE * left
        token = self._sample(constrained)
        self._left = self._left[len(self._tokenizer.bytes_of(token)) :]
        return token


def _last_lines(prefix: str) -> str:
    """The last two lines that are not blank, since line breaks and indentation can be one token."""
    start = prefix.rfind("\n", 0, max(0, prefix.rfind("\n", 0, len(prefix.rstrip())))) + 1
    return prefix[max(start, len(prefix) - WINDOW_CHARACTERS) :]


def _starts_inside_character(text: bytes) -> bool:
    return text[0] & 0xC0 == 0x80
