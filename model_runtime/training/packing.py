"""The third step of the recipe: files become rows of tokens, ready for training.

infilling ▶ **packing** ▶ rows ▶ train. Every window is transformed and tokenised on its own, then whole
examples are packed into rows, so that no example is cut and every middle is trained to end with end-of-text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from model_runtime.training.cleaning import SourceFile
from model_runtime.training.infilling import Example, make_example, windows
from model_runtime.training.rows import MIDDLE, Rows, write_row_files
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
NEIGHBOURS = 12  # windows of a package's other files that are at hand for snippets


def examples(files: Iterable[SourceFile], length: int, random: Random, psm: float = 0.5) -> Iterator[Example]:
    """Every window of every file, transformed; nearly all of them fit into `length` tokens.

    Files of one package that come after each other are each other's open files.
    """
    longest = int(length * CHARACTERS_PER_TOKEN)
    package, others = "", deque[tuple[str, str]](maxlen=NEIGHBOURS)
    for file in files:
        if file.package != package:
            package = file.package
            others.clear()
        cut = list(windows(file.text, longest, random))
        for window in cut:
            yield make_example(window, random, others, psm)
        others.extend((file.path, window) for window in random.sample(cut, min(3, len(cut))))


def encode(batch: list[Example], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of each example; each part is tokenised apart, as a prompt's parts are.

    A middle's tokens, with the end of text, have the bit `MIDDLE`.
    """
    parts = [text for example in batch for text in (example.prefix, example.middle, example.suffix)]
    encoded = [part.ids for part in tokenizer.encode_batch_fast(parts, add_special_tokens=False)]
    end, pre, mid, suf = (
        token_id(tokenizer, name) for name in (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
    )
    for index, example in enumerate(batch):
        prefix, middle, suffix = encoded[3 * index : 3 * index + 3]
        marked = [token | MIDDLE for token in (*middle, end)]
        if example.layout == "psm":
            yield [pre, *prefix, suf, *suffix, mid, *marked]
        elif example.layout == "spm":
            yield [pre, suf, *suffix, mid, *prefix, *marked]
        else:
            yield [*prefix, end]


def pack(sequences: Iterable[list[int]], length: int, padding: int) -> Iterator[Rows]:
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


def _padded(row: list[int], length: int, padding: int) -> Rows:
    return np.array(row + [padding] * (length - len(row)), dtype=np.uint16)


def write_rows(
    files: Iterable[SourceFile],
    tokenizer: Tokenizer,
    length: int,
    seed: int,
    folder: Path,
    name: str,
    psm: float = 0.5,
) -> tuple[int, float]:
    """Write rows of `length` tokens as `name-*.npy`; returns how many, and the share that is not padding.

    `psm` as in `make_example`.
    """
    padding = token_id(tokenizer, FIM_PAD)
    stream = examples(files, length, Random(seed), psm)
    rows = np.stack(list(pack(_tokens(stream, tokenizer), length, padding)))
    np.random.default_rng(seed).shuffle(rows)
    write_row_files(rows, folder, name)
    return len(rows), float((rows != padding).mean())


def make_probes(
    files: Iterable[SourceFile], tokenizer: Tokenizer, length: int, count: int, seed: int
) -> Rows:
    """At most `count` rests of lines in PSM, then the same in SPM, each in a row of its own.

    Raises:
        ValueError: there is no line that fits.
    """
    padding = token_id(tokenizer, FIM_PAD)
    random = Random(seed)
    cut = [example for example in examples(files, length, random) if _is_line(example)]
    random.shuffle(cut)
    pairs: list[tuple[list[int], ...]] = []
    for example in cut:
        pair = tuple(encode([example._replace(layout=name) for name in ("psm", "spm")], tokenizer))
        if max(map(len, pair)) <= length:
            pairs.append(pair)
        if len(pairs) == count:
            break
    rows = [_padded(pair[layout], length, padding) for layout in (0, 1) for pair in pairs]
    if not rows:
        raise ValueError("no line in the held-out packages can measure exact match: hold out more of them")
    return np.stack(rows)


def _is_line(example: Example) -> bool:
    """Whether what is asked for is the rest of a line that has something on it."""
    filled = bool(example.prefix and example.middle.strip())
    return filled and "\n" not in example.middle and example.suffix.startswith("\n")


def _tokens(stream: Iterator[Example], tokenizer: Tokenizer) -> Iterator[list[int]]:
    if tokenizer.get_vocab_size() > MIDDLE:
        raise ValueError(f"rows hold vocabularies of up to {MIDDLE:,} tokens: make a smaller one")
    tokenizer.encode_special_tokens = True  # a sentinel's name in a source file is plain text
    batches = iter(lambda: list(islice(stream, BATCH)), [])
    return (tokens for batch in batches for tokens in encode(batch, tokenizer))
