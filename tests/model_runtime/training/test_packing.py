from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.training import packing, rows
from model_runtime.training.cleaning import SourceFile
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
    packed = list(pack(sequences, length=24, padding=PAD))
    assert all(len(row) == 24 for row in packed)
    found: list[list[int]] = [[]]
    for token in (token for row in packed for token in row.tolist() if token != PAD):
        found[-1].append(token)
        if token == END:
            found.append([])
    assert found.pop() == []
    assert sorted(found) == sorted(ids for ids in sequences if len(ids) <= 24)


def test_each_layout_has_its_sentinels_in_place_and_ends_the_middle() -> None:
    tokenizer = train_tokenizer([module(1)], 300)
    examples = [Example("psm", "a", "b", "c"), Example("spm", "a", "b", "c"), Example("plain", "a")]
    a, b, c = (tokenizer.encode(letter).ids for letter in "abc")
    marked = [token | rows.MIDDLE for token in (*b, END)]
    assert list(encode(examples, tokenizer)) == [
        [PREFIX, *a, SUFFIX, *c, MIDDLE, *marked],
        [PREFIX, SUFFIX, *c, MIDDLE, *a, *marked],
        [*a, END],
    ]


def test_a_sentinels_name_in_a_source_file_does_not_become_a_sentinel(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([module(1)], 400)
    forged = SourceFile("p", "x.py", "<fim_middle>" * 40 + "\n")
    write_rows([forged], tokenizer, 1024, 0, tmp_path, "train")
    tokens = np.load(tmp_path / "train-000.npy")
    assert (tokens == MIDDLE).sum() <= 1  # the example's own


def test_the_same_seed_writes_the_same_rows(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([module(1)], 400)
    files = [SourceFile("p", f"{i}.py", module(i)) for i in range(6)]
    for name in ("a", "b"):
        write_rows(files, tokenizer, 512, 3, tmp_path, name)
    assert (tmp_path / "a-000.npy").read_bytes() == (tmp_path / "b-000.npy").read_bytes()


def test_probes_ask_for_the_same_lines_in_both_layouts() -> None:
    tokenizer = train_tokenizer([module(1)], 400)
    files = [SourceFile("p", f"{i}.py", module(i)) for i in range(6)]
    probes = packing.make_probes(files, tokenizer, 512, 10, 0)
    count = len(probes) // 2
    assert 1 <= count <= 10
    assert len(probes) == 2 * count
    for psm, spm in zip(probes[:count], probes[count:], strict=True):
        assert (psm[psm >= rows.MIDDLE] == spm[spm >= rows.MIDDLE]).all()
        assert psm[1] != SUFFIX
        assert spm[1] == SUFFIX


def test_rows_of_many_files_are_read_as_one(tmp_path: Path) -> None:
    written = np.arange(2000, dtype=np.uint16).reshape(100, 20)
    assert rows.write_row_files(written, tmp_path, "train", largest=2048) == 4
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 2048
    read = rows.read_row_files(tmp_path, "train")
    assert (len(read), read.length) == (100, 20)
    numbers = np.array([99, 0, 25, 24])
    assert (read[numbers] == written[numbers]).all()


def test_packing_again_leaves_no_rows_of_the_time_before(tmp_path: Path) -> None:
    rows.write_row_files(np.zeros((4, 8_000_000), dtype=np.uint16), tmp_path, "train")
    rows.write_row_files(np.zeros((4, 8), dtype=np.uint16), tmp_path, "train")
    assert len(list(tmp_path.iterdir())) == 1
