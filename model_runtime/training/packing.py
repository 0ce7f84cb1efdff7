"""The third step of the recipe: files become rows of tokens, ready for training.

Every window is transformed and tokenised on its own, then whole examples are packed into rows, so that
no example is cut and every middle is trained to end with end-of-text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model_runtime.training.corpus import SourceFile
from model_runtime.training.infilling import Example, make_example, windows
from model_runtime.training.vocabulary import (
    END_OF_TEXT,
    FIM_MIDDLE,
    FIM_PAD,
    FIM_PREFIX,
    FIM_SUFFIX,
    token_id,
)

OPEN_ROWS = 64  # how many rows wait for an example that fits; more of them leave less padding
CHARACTERS_PER_TOKEN = 2.9  # of a window that is to fit into a row; code has more on average
BATCH = 1024  # examples that are tokenised in one call


def examples(files: Iterable[SourceFile], length: int, random: Random) -> Iterator[Example]:
    """Every window of every file, transformed; nearly all of them fit into `length` tokens."""
    longest = int(length * CHARACTERS_PER_TOKEN)
    for file in files:
        for window in windows(file.text, longest, random):
            yield make_example(window, random)


def encode(batch: list[Example], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of each example; each part is tokenised apart, as a prompt's parts are."""
    parts = [text for example in batch for text in (example.prefix, example.middle, example.suffix)]
    encoded = [part.ids for part in tokenizer.encode_batch_fast(parts, add_special_tokens=False)]
    end, pre, mid, suf = (
        token_id(tokenizer, name) for name in (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
    )
    for index, example in enumerate(batch):
        prefix, middle, suffix = encoded[3 * index : 3 * index + 3]
        if example.layout == "psm":
            yield [pre, *prefix, suf, *suffix, mid, *middle, end]
        elif example.layout == "spm":
            yield [pre, suf, *suffix, mid, *prefix, *middle, end]
        else:
            yield [*prefix, end]


def pack(sequences: Iterable[list[int]], length: int, padding: int) -> Iterator[NDArray[np.uint16]]:
    """First-fit packing into rows of `length` tokens; what is longer than a row alone is dropped."""
    rows: list[list[int]] = []
    for sequence in sequences:
        if len(sequence) > length:
            continue
        row = next((row for row in rows if len(row) + len(sequence) <= length), None)
        if row is None:
            if len(rows) == OPEN_ROWS:
                yield _padded(rows.pop(max(range(OPEN_ROWS), key=lambda i: len(rows[i]))), length, padding)
            rows.append(row := [])
        row += sequence
    for row in rows:
        yield _padded(row, length, padding)


def _padded(row: list[int], length: int, padding: int) -> NDArray[np.uint16]:
    return np.array(row + [padding] * (length - len(row)), dtype=np.uint16)


def write_rows(
    files: Iterable[SourceFile], tokenizer: Tokenizer, length: int, seed: int, target: Path
) -> tuple[int, float]:
    """Write an array (rows, length) of uint16 to `target`; returns the rows and the share not padding."""
    padding = token_id(tokenizer, FIM_PAD)
    tokenizer.encode_special_tokens = True  # a sentinel's name in a source file is plain text
    stream = examples(files, length, Random(seed))
    batches = iter(lambda: list(islice(stream, BATCH)), [])
    sequences = (tokens for batch in batches for tokens in encode(batch, tokenizer))
    rows = np.stack(list(pack(sequences, length, padding)))
    np.random.default_rng(seed).shuffle(rows)
    np.save(target, rows)
    return len(rows), float((rows != padding).mean())
