from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_runtime.training import load_state, save_state

WEIGHTS = torch.arange(5000.0)
STATE = {"weights": WEIGHTS, "step": 7}


def test_what_was_saved_in_chunks_is_loaded(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "checkpoint", max_bytes=4096)
    assert len(list((tmp_path / "checkpoint").glob("*.part"))) > 4
    assert max(path.stat().st_size for path in (tmp_path / "checkpoint").iterdir()) <= 4096
    loaded = load_state(tmp_path / "checkpoint")
    assert loaded is not None
    assert loaded["step"] == 7
    assert torch.equal(loaded["weights"], WEIGHTS)


def test_a_smaller_state_leaves_no_chunk_of_the_earlier_one(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "checkpoint", max_bytes=4096)
    save_state({"step": 8}, tmp_path / "checkpoint", max_bytes=4096)
    assert load_state(tmp_path / "checkpoint") == {"step": 8}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_nothing_saved_is_nothing_to_load(tmp_path: Path) -> None:
    assert load_state(tmp_path / "checkpoint") is None


def test_an_interruption_while_saving_leaves_the_earlier_state(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "checkpoint")
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.old")
    assert load_state(tmp_path / "checkpoint") is not None


def test_a_missing_chunk_is_reported(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "checkpoint", max_bytes=4096)
    (tmp_path / "checkpoint" / "001.part").unlink()
    with pytest.raises(ValueError, match="incomplete"):
        load_state(tmp_path / "checkpoint")
