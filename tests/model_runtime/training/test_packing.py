from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.training.corpus import SourceFile
from model_runtime.training.infilling import Example
from model_runtime.training.packing import encode, pack, write_rows
from model_runtime.training.vocabulary import SENTINELS, train_tokenizer
from tests.model_runtime.training.wheels import module

END, PREFIX, MIDDLE, SUFFIX, PAD = range(len(SENTINELS))


@given(
    st.lists(st.lists(st.integers(5, 99), min_size=1, max_size=40).map(lambda ids: [*ids, END]), max_size=80)
)
def test_packing_keeps_every_sequence_whole_and_loses_only_those_that_no_row_holds(
    sequences: list[list[int]],
) -> None:
    rows = list(pack(sequences, length=24, padding=PAD))
    assert all(len(row) == 24 for row in rows)
    found: list[list[int]] = [[]]
    for token in (token for row in rows for token in row.tolist() if token != PAD):
        found[-1].append(token)
        if token == END:
            found.append([])
    assert found.pop() == []
    assert sorted(found) == sorted(ids for ids in sequences if len(ids) <= 24)


def test_each_layout_has_its_sentinels_in_place_and_ends_the_middle() -> None:
    tokenizer = train_tokenizer([module(1)], 300)
    examples = [Example("psm", "a", "b", "c"), Example("spm", "a", "b", "c"), Example("plain", "a")]
    a, b, c = (tokenizer.encode(letter).ids for letter in "abc")
    assert list(encode(examples, tokenizer)) == [
        [PREFIX, *a, SUFFIX, *c, MIDDLE, *b, END],
        [PREFIX, SUFFIX, *c, MIDDLE, *a, *b, END],
        [*a, END],
    ]


def test_a_sentinels_name_in_a_source_file_does_not_become_a_sentinel(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([module(1)], 400)
    forged = SourceFile("p", "x.py", "<fim_middle>" * 40 + "\n")
    write_rows([forged], tokenizer, 1024, seed=0, target=tmp_path / "rows.npy")
    rows = np.load(tmp_path / "rows.npy")
    assert (rows == MIDDLE).sum() <= 1  # the example's own


def test_the_same_seed_writes_the_same_rows(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([module(1)], 400)
    files = [SourceFile("p", f"{i}.py", module(i)) for i in range(6)]
    for name in ("a.npy", "b.npy"):
        write_rows(files, tokenizer, 512, seed=3, target=tmp_path / name)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
