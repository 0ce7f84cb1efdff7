"""Packing: examples become tokens, and tokens become rows of one length.

Every example is tokenized on its own, then whole examples are packed into rows, so that none is cut and every
middle is trained to end with end-of-text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np
from tokenizers import Tokenizer

from model_runtime.training.examples import Example
from model_runtime.training.rows import Rows, middle_bit, row_type

OPEN_ROWS = 64  # rows that wait for an example that fits; more of them leave less padding
BATCH = 1024  # examples that are tokenized in one call


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the control tokens that examples are written with."""

    end_of_text: int
    prefix: int
    middle: int
    suffix: int
    padding: int


class Packer:
    """Turns examples into rows.

    Args:
        tokenizer: that of the model. Its `encode_special_tokens` is set: in a source file the spelling of a
            control token is plain text.
        special: the control tokens.
        length: tokens in a row.
    """

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens, length: int) -> None:
        tokenizer.encode_special_tokens = True
        self._tokenizer, self._special, self._length = tokenizer, special, length
        self._type = row_type(tokenizer.get_vocab_size())
        self.middle_bit = middle_bit(self._type)

    def rows(self, examples: Iterable[Example], seed: int) -> Rows:
        """All examples, packed and shuffled: (rows, length)."""
        stream = iter(examples)
        batches = iter(lambda: list(islice(stream, BATCH)), [])
        tokens = (tokens for batch in batches for tokens in self.encode(batch))
        rows = self._stacked(first_fit(tokens, self._length))
        np.random.default_rng(seed).shuffle(rows)
        return rows

    def share_used(self, rows: Rows) -> float:
        """The share of tokens in `rows` that is not padding."""
        return float((rows != self._special.padding).mean())

    def probes(self, examples: Iterable[Example], count: int, random: Random) -> Rows:
        """Probes for `exact_match`: at most `count` rests of lines in PSM, then the same ones in SPM.

        Each has a row of its own.

        Raises:
            ValueError: no example is the rest of a line and fits.
        """
        lines = [example for example in examples if _is_rest_of_line(example)]
        random.shuffle(lines)
        pairs: list[list[list[int]]] = []
        for example in lines:
            pair = list(self.encode([example._replace(layout=layout) for layout in ("psm", "spm")]))
            if max(map(len, pair)) <= self._length:
                pairs.append(pair)
            if len(pairs) == count:
                break
        if not pairs:
            raise ValueError("no line in the held-out files can measure exact match: hold out more of them")
        return self._stacked(pair[layout] for layout in (0, 1) for pair in pairs)

    def encode(self, examples: list[Example]) -> Iterator[list[int]]:
        """The tokens of each example. As in a prompt, each part is tokenized separately.

        The tokens of a middle and the end of text after it have the `middle_bit` set.
        """
        parts = [text for example in examples for text in (example.prefix, example.middle, example.suffix)]
        encoded = [part.ids for part in self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)]
        special = self._special
        for index, example in enumerate(examples):
            prefix, middle, suffix = encoded[3 * index : 3 * index + 3]
            marked = [token | self.middle_bit for token in (*middle, special.end_of_text)]
            if example.layout == "psm":
                yield [special.prefix, *prefix, special.suffix, *suffix, special.middle, *marked]
            elif example.layout == "spm":
                yield [special.prefix, special.suffix, *suffix, special.middle, *prefix, *marked]
            else:
                yield [*prefix, special.end_of_text]

    def _stacked(self, rows: Iterable[list[int]]) -> Rows:
        padding = self._special.padding
        padded = (row + [padding] * (self._length - len(row)) for row in rows)
        return np.stack([np.array(row, dtype=self._type) for row in padded])


def first_fit(sequences: Iterable[list[int]], length: int) -> Iterator[list[int]]:
    """First-fit packing into rows of at most `length` tokens; a sequence that is longer is dropped."""
    rows: list[list[int]] = []
    for sequence in sequences:
        if len(sequence) > length:
            continue
        row = next((row for row in rows if len(row) + len(sequence) <= length), None)
        if row is None:
            if len(rows) == OPEN_ROWS:
                yield rows.pop(max(range(OPEN_ROWS), key=lambda i: len(rows[i])))
            rows.append(row := [])
        row += sequence
    yield from rows


def _is_rest_of_line(example: Example) -> bool:
    """Whether the middle is the rest of a line, and not blank."""
    filled = bool(example.prefix and example.middle.strip())
    return filled and "\n" not in example.middle and example.suffix.startswith("\n")
