"""The benchmark of a server's memory: what it calls flat, and a real server that is watched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.memory import Sample, documents, is_flat, summary, thirds, weight_bytes

ROOT = Path(__file__).parents[2]
MB = 2**20


def samples(ready: int, rss: Sequence[int]) -> list[Sample]:
    """What was seen, in MB."""
    return [Sample(number, f"{number}.py", number, size * MB) for number, size in enumerate([ready, *rss])]


@pytest.mark.parametrize(
    ("rss", "flat"),
    [
        ([100, 150, 200, 200, 200, 200, 200, 200, 200], True),  # grows in the first third alone
        ([100, 150, 200, 200, 200, 200, 203, 203, 203], True),
        ([100, 150, 200, 200, 200, 200, 205, 205, 205], False),
        ([100, 150, 200, 200, 200, 200, 190, 190, 190], False),
        ([100, 110, 120, 130, 140, 150, 160, 170, 180], False),
    ],
)
def test_memory_is_flat_where_the_last_third_is_like_the_middle_one(rss: list[int], flat: bool) -> None:
    assert is_flat(samples(50, rss)) == flat


def test_the_model_that_is_ready_counts_for_no_third() -> None:
    assert thirds(samples(1, [10, 20, 30])) == (20 * MB, 30 * MB)


def test_the_summary_compares_with_the_weights() -> None:
    lines = summary(samples(100, [100, 150, 200] * 3), 50 * MB)
    assert lines[1] == "flat: 150 MB in the middle third, 150 MB in the last (+0.0 %)"
    assert lines[2] == "weights 50 MB; when ready 100 MB, 2.0 times as much; at most 200 MB, 4.0 times"


def test_each_document_is_another_long_module() -> None:
    found = documents(5)
    assert len({document.uri for document in found}) == 5
    assert min(document.line_count for document in found) >= 200


def test_a_real_server_is_watched_file_by_file(checkpoint_folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.memory", "--files=3", "--places=1", "--close"]
    done = subprocess.run(
        [*command, f"--model={checkpoint_folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["file", "(ready)"]
    assert len(lines) == 2 + 3 + 3
    assert lines[-1].startswith("weights 0 MB; when ready ")
    assert weight_bytes(checkpoint_folder) == (checkpoint_folder / "model.safetensors").stat().st_size
