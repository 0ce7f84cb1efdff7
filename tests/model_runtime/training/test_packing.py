from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from model_runtime.evaluation import SourceFile
from model_runtime.training import (
    Example,
    Mixture,
    Packer,
    Rows,
    SpecialTokens,
    draw_examples,
    read_row_files,
    write_row_files,
)
from model_runtime.training.packing import first_fit
from model_runtime.training.rows import middle_bit
from tests.model_runtime.training.source_code import default_tokenizer, module

END, PREFIX, MIDDLE, SUFFIX, PAD = range(5)
SPECIAL = SpecialTokens(END, PREFIX, MIDDLE, SUFFIX, PAD)
FILES = [SourceFile("p", f"{i}.py", module(i)) for i in range(6)]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return default_tokenizer()


def packed(tokenizer: Tokenizer, files: list[SourceFile], length: int, seed: int = 0) -> Rows:
    packer = Packer(tokenizer, SPECIAL, length)
    return packer.rows(draw_examples(files, length, Mixture(), Random(seed)), seed)


@given(
    st.lists(st.lists(st.integers(5, 99), min_size=1, max_size=40).map(lambda ids: [*ids, END]), max_size=80)
)
def test_packing_keeps_every_sequence_whole_and_drops_only_those_that_no_row_holds(
    sequences: list[list[int]],
) -> None:
    rows = list(first_fit(sequences, length=24))
    assert all(len(row) <= 24 for row in rows)
    found: list[list[int]] = [[]]
    for token in (token for row in rows for token in row):
        found[-1].append(token)
        if token == END:
            found.append([])
    assert found.pop() == []
    assert sorted(found) == sorted(ids for ids in sequences if len(ids) <= 24)


def test_each_layout_has_its_sentinels_in_place_and_ends_the_middle(tokenizer: Tokenizer) -> None:
    packer = Packer(tokenizer, SPECIAL, 64)
    examples = [Example("psm", "a", "b", "c"), Example("spm", "a", "b", "c"), Example("plain", "a")]
    a, b, c = (tokenizer.encode(letter).ids for letter in "abc")
    marked = [token | packer.middle_bit for token in (*b, END)]
    assert list(packer.encode(examples)) == [
        [PREFIX, *a, SUFFIX, *c, MIDDLE, *marked],
        [PREFIX, SUFFIX, *c, MIDDLE, *a, *marked],
        [*a, END],
    ]


def test_a_sentinels_name_in_a_source_file_does_not_become_a_sentinel(tokenizer: Tokenizer) -> None:
    forged = SourceFile("p", "x.py", "<fim_middle>" * 40 + "\n")
    rows = packed(tokenizer, [forged], 1024)
    assert (rows == MIDDLE).sum() <= 1  # the example's own


def test_rows_are_as_long_as_asked_for_and_follow_from_the_seed(tokenizer: Tokenizer) -> None:
    rows = packed(tokenizer, FILES, 512, seed=3)
    assert rows.shape[1] == 512
    assert (rows == packed(tokenizer, FILES, 512, seed=3)).all()


@pytest.mark.parametrize(("vocab_size", "bytes_a_token"), [(4096, 2), (49_152, 4)])
def test_a_large_vocabulary_has_wider_tokens_with_a_bit_for_middles(
    tokenizer: Tokenizer, vocab_size: int, bytes_a_token: int
) -> None:
    tokenizer.add_tokens([f"added{i}" for i in range(vocab_size - tokenizer.get_vocab_size())])
    rows = Packer(tokenizer, SPECIAL, 64).rows([Example("psm", "a", "b", "c")], 0)
    assert rows.itemsize == bytes_a_token
    marked = rows[rows >= middle_bit(rows.dtype)]
    assert (marked - middle_bit(rows.dtype)).tolist() == [*tokenizer.encode("b").ids, END]


def test_probes_ask_for_the_same_lines_in_both_layouts(tokenizer: Tokenizer) -> None:
    packer, random = Packer(tokenizer, SPECIAL, 512), Random(0)
    probes = packer.probes(draw_examples(FILES, 512, Mixture(), random), 10, random)
    count = len(probes) // 2
    assert 1 <= count <= 10
    assert len(probes) == 2 * count
    for psm, spm in zip(probes[:count], probes[count:], strict=True):
        assert (psm[psm >= packer.middle_bit] == spm[spm >= packer.middle_bit]).all()
        assert psm[1] != SUFFIX
        assert spm[1] == SUFFIX


def test_no_line_to_measure_on_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="hold out more"):
        Packer(tokenizer, SPECIAL, 512).probes([Example("plain", "x = 1\n")], 10, Random(0))


def test_rows_in_several_files_are_read_as_one(tmp_path: Path) -> None:
    written = np.arange(2000, dtype=np.uint16).reshape(100, 20)
    assert write_row_files(written, tmp_path, "train", max_bytes=2048) == 4
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 2048
    read = read_row_files(tmp_path, "train")
    assert (len(read), read.length) == (100, 20)
    numbers = np.array([99, 0, 25, 24])
    assert (read[numbers] == written[numbers]).all()


def test_writing_rows_again_leaves_none_of_the_earlier_ones(tmp_path: Path) -> None:
    write_row_files(np.zeros((4, 8_000_000), dtype=np.uint16), tmp_path, "train")
    write_row_files(np.zeros((4, 8), dtype=np.uint16), tmp_path, "train")
    assert len(list(tmp_path.iterdir())) == 1
