"""A checkpoint is written completely or not at all, and is read by the safetensors library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.stored import TORCH_NAMES
from model_runtime.checkpoints.writer import HEADER_SPACE, CannotWrite, checkpoint_writer

DTYPES: list[torch.dtype] = [getattr(torch, name.removeprefix("torch.")) for name in TORCH_NAMES]


def write(target: Path, tensors: dict[str, Tensor], **options: int) -> Path:
    with checkpoint_writer(target, **options) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        writer.write_json("config.json", {"model_type": "gptj"})
    return target


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".partial-" in path.name]


def same(left: Tensor, right: Tensor) -> bool:
    return left.dtype == right.dtype and torch.equal(left, right)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_any_strides_come_back_bit_equal(tmp_path: Path, dtype: torch.dtype) -> None:
    matrix = torch.arange(12).reshape(3, 4).remainder(5).to(dtype)
    tensors = {"plain": matrix, "transposed": matrix.T, "row": matrix[1], "none": matrix[:0]}
    tensors |= {"scalar": matrix[2, 3], "leaf": torch.nn.Parameter(matrix, requires_grad=False)}
    read = load_file(write(tmp_path / "out", tensors) / "model.safetensors")
    assert read.keys() == tensors.keys()
    assert all(same(read[name], tensor) for name, tensor in tensors.items())


def test_a_small_checkpoint_is_one_file_without_an_index(tmp_path: Path) -> None:
    out = write(tmp_path / "out", {"a": torch.ones(3)})
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    with safe_open(out / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_large_checkpoint_is_sharded_and_indexed_the_way_transformers_does_it(tmp_path: Path) -> None:
    tensors = {f"t{n}": torch.full((100,), float(n)) for n in range(5)}
    out = write(tmp_path / "out", tensors, max_shard_bytes=800)
    shards = [f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)]
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert sorted(path.name for path in out.glob("*.safetensors")) == shards
    assert index["metadata"] == {"total_size": 2000}
    assert index["weight_map"] == {f"t{n}": shards[n // 2] for n in range(5)}
    assert all(index["weight_map"][name] == shard for shard in shards for name in load_file(out / shard))


def test_a_tensor_above_the_limit_has_a_shard_to_itself(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2), "b": torch.ones(50), "c": torch.ones(2)}
    out = write(tmp_path / "out", tensors, max_shard_bytes=100)
    assert [sorted(load_file(path)) for path in sorted(out.glob("*.safetensors"))] == [["a"], ["b"], ["c"]]


def test_a_shard_ends_when_its_header_is_full(tmp_path: Path) -> None:
    long = "x" * (HEADER_SPACE // 4)
    tensors = {f"{long}{n}": torch.tensor(n) for n in range(5)}
    out = write(tmp_path / "out", tensors)
    assert [len(load_file(path)) for path in sorted(out.glob("*.safetensors"))] == [3, 2]
    assert {name: int(stored.values) for name, stored in CheckpointFolder(out).items()} == {
        f"{long}{n}": n for n in range(5)
    }


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_any_mixture_of_dtypes_reads_back_and_is_aligned(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[torch.dtype, int]], limit: int
) -> None:
    tensors = {f"é{n}": torch.arange(length).to(dtype) for n, (dtype, length) in enumerate(kinds)}
    out = write(tmp_path_factory.mktemp("mixed") / "out", tensors, max_shard_bytes=limit)
    read = CheckpointFolder(out)
    assert read.keys() == tensors.keys()
    assert all(same(read[name].tensor(), tensor) for name, tensor in tensors.items())
    for path in out.glob("*.safetensors"):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        header = json.loads(path.read_bytes()[8 : 8 + length])
        for name in header.keys() - {"__metadata__"}:
            assert header[name]["data_offsets"][0] % tensors[name].element_size() == 0


def test_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_bytes(b"a b\r\n\xff")
    with checkpoint_writer(tmp_path / "out") as writer:
        writer.add("a", torch.ones(1))
        writer.copy(tmp_path / "merges.txt")
    assert (tmp_path / "out" / "merges.txt").read_bytes() == b"a b\r\n\xff"


def test_the_target_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "parents" / "out"
    with checkpoint_writer(target) as writer:
        writer.add("a", torch.ones(1))
        assert not target.exists()
    assert (target / "model.safetensors").is_file()
    assert leftovers(target.parent) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, CannotWrite])
def test_a_failure_leaves_no_trace(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with checkpoint_writer(tmp_path / "out", max_shard_bytes=4) as writer:
            writer.add("a", torch.ones(1))
            writer.add("b", torch.ones(1))
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_the_target_and_stays_empty_after_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()

    def fail() -> None:
        with checkpoint_writer(target):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(target.iterdir()) == []
    assert (write(target, {"a": torch.ones(1)}) / "model.safetensors").is_file()


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    killed, other = tmp_path / ".out.partial-0123abcd", tmp_path / ".out2.partial-0123abcd"
    for folder in (killed, other):
        folder.mkdir()
        (folder / "0.part").write_bytes(b"half")
    write(tmp_path / "out", {"a": torch.ones(1)})
    assert leftovers(tmp_path) == [other.name]


def test_of_two_runs_to_one_target_the_later_wins_and_the_earlier_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def race() -> None:
        with checkpoint_writer(target) as writer:
            writer.add("earlier", torch.ones(1))
            write(target, {"later": torch.ones(1)})

    with pytest.raises(CannotWrite):
        race()
    assert list(CheckpointFolder(target)) == ["later"]
    assert leftovers(tmp_path) == []


def test_a_target_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(CannotWrite, match="exists and is not empty: name a new folder"):
        write(tmp_path / "out", {"a": torch.ones(1)})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_file_as_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CannotWrite, match="is a file: name a new folder"):
        write(tmp_path / "out", {"a": torch.ones(1)})


def test_a_file_where_a_parent_should_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWrite, match="out cannot be written: ") as raised:
        write(tmp_path / "file" / "out", {"a": torch.ones(1)})
    assert "\n" not in str(raised.value)


def test_a_closed_folder_is_one_clear_line(closed_folder: Path) -> None:
    for target in (closed_folder, closed_folder / "out", closed_folder / "new" / "out"):
        with pytest.raises(CannotWrite, match="cannot be written: Permission denied"):
            write(target, {"a": torch.ones(1)})


def test_a_disk_that_is_too_small_is_reported_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match=r"needs 4611686018\.4 GB, its disk has \d+\.\d GB left: make room"):
        write(tmp_path / "out", {"a": torch.ones(1)}, expected_bytes=1 << 62)
    assert list(tmp_path.iterdir()) == []


FILLS_UP = """
import resource, sys, torch
from pathlib import Path
from model_runtime.checkpoints.writer import CannotWrite, checkpoint_writer

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with checkpoint_writer(Path(sys.argv[1])) as writer:
        writer.add("a", torch.ones(1 << 20))
except CannotWrite as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the length of files is a thing of POSIX")
def test_a_write_that_fails_midway_is_one_clear_line_and_leaves_no_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILLS_UP, str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == f"{tmp_path / 'out'} cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []
