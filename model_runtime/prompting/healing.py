"""Token healing: a cursor in the middle of a token, where the text before it was split as never in training.

prefix ▶ **cut** ▶ prompt ▶ generate, with its **sampler** wrapped ▶ text, without what was given back. The
end of the prefix that a longer token begins with does not go into the prompt. It is left to the model to
write again, in the tokens that it likes, but held to the same bytes: of "pri" it makes " print", one token,
and "nt" is what is new. Of a line break it may make one with the indentation after it. The prompt also stays
as it is while a word is being typed. The idea is Lundberg's ("The Art of Prompt Design: Prompt Boundaries and
Token Healing", 2023).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import torch
from torch import Tensor

from model_runtime.tokenization import Tokenizer

Sample = Callable[[Tensor], int]
"""Logits (vocab,) in fp32 → token id."""

WINDOW = 400
"""Characters before the cursor that are encoded, at most, to see where tokens begin."""

MOST_TOKENS = 6
"""No more are given back."""

SURPRISE = 2.0
"""Nats that a byte of code is taken to hold where nothing more is known. From 1 to 4 does as well."""

SOMETHING = "x"
"""What may follow a space: most tokenizers make its last one and a word's first letter one token."""


class Healer:
    """Heals the prompts of one tokenizer. Making it takes tens of milliseconds for 50,000 tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary(tokenizer)

    def cut(self, prefix: str) -> tuple[str, str]:
        """What of a prefix goes into the prompt, and what is given back: mostly less than a word, or nothing.

        Given back are the most tokens, of the last line, whose text is the beginning of a longer one. Line
        breaks are given back only where they end the prefix: indentation that is there already was meant.
        """
        given, enough = b"", 0
        for piece in reversed(self._pieces(_end(prefix))[-MOST_TOKENS:]):
            breaks = b"\n" in piece or b"\r" in piece
            if breaks and (given or not piece.endswith((b"\n", b"\r"))):
                break
            given = piece + given
            if given and not _is_inside(given) and self._vocabulary.goes_on(given):
                enough = len(given)
            if breaks:
                break
        kept = len(prefix) - len(given[len(given) - enough :].decode())
        return prefix[:kept], prefix[kept:]

    def _pieces(self, text: str) -> list[bytes]:
        """The tokens of a text. Space at its end is split as it will be when something follows."""
        if text.endswith((" ", "\t")):
            *pieces, last = map(self._tokenizer.bytes_of, self._tokenizer.encode(text + SOMETHING))
            return [*pieces, last[: -len(SOMETHING)]]
        return list(map(self._tokenizer.bytes_of, self._tokenizer.encode(text)))

    def sampler(self, sample: Sample, given_back: str) -> Sample:
        """`sample` for one completion, held to what was given back until that has been written."""
        return _Held(sample, self._tokenizer, self._vocabulary, given_back) if given_back else sample


class Vocabulary:
    """A tokenizer's tokens in the order of their bytes, where those that begin alike lie together."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        known = tokenizer.vocabulary()
        self._texts = [text for text, _ in known]
        self._tokens = torch.tensor([token for _, token in known])

    def goes_on(self, text: bytes) -> bool:
        """Whether a token begins with `text` and is longer."""
        after = bisect_right(self._texts, text)
        return after < len(self._texts) and self._texts[after].startswith(text)

    def agreeing(self, text: bytes) -> tuple[Tensor, Tensor]:
        """The tokens that begin with `text`, or that it begins with; and how many bytes each leaves of it.

        Both (count,).
        """
        start = bisect_left(self._texts, text)
        end = bisect_right(self._texts, text, start, key=lambda known: known[: len(text)])
        spans = [(start, end, 0)]
        for length in range(1, len(text)):
            start = bisect_left(self._texts, text[:length])
            spans.append((start, bisect_right(self._texts, text[:length], start), len(text) - length))
        tokens = torch.cat([self._tokens[start:end] for start, end, _ in spans])
        return tokens, torch.cat([torch.full((end - start,), left) for start, end, left in spans])


class _Held:
    """A sampler that is held to bytes. Control tokens have none, and do not come before they are written.

    Of a token that leaves some bytes to the next one, only the share of its chance counts that goes on with
    them. That is not known before it is taken, so each of them is held to be as surprising as text mostly is.
    """

    def __init__(self, sample: Sample, tokenizer: Tokenizer, vocabulary: Vocabulary, given_back: str) -> None:
        self._sample = sample
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._left = given_back.encode("utf-8", errors="replace")  # as the tokenizer does

    def __call__(self, logits: Tensor) -> int:
        """See `Sample`."""
        if not self._left:
            return self._sample(logits)
        allowed, left = (each.to(logits.device) for each in self._vocabulary.agreeing(self._left))
        held = torch.full_like(logits, float("-inf"))
        held[allowed] = logits[allowed] - SURPRISE * left
        token = self._sample(held)
        self._left = self._left[len(self._tokenizer.bytes_of(token)) :]
        return token


def _end(prefix: str) -> str:
    """The last two lines that hold something: line breaks and indentation can be one token."""
    start = prefix.rfind("\n", 0, max(0, prefix.rfind("\n", 0, len(prefix.rstrip())))) + 1
    return prefix[max(start, len(prefix) - WINDOW) :]


def _is_inside(text: bytes) -> bool:
    """Whether bytes begin in the middle of a character."""
    return text[0] & 0xC0 == 0x80
