from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_runtime.training.pieces import load_pieces, save_pieces

WEIGHTS = torch.arange(5000.0)
STATE = {"weights": WEIGHTS, "step": 7}


def test_what_was_saved_in_pieces_comes_back(tmp_path: Path) -> None:
    save_pieces(STATE, tmp_path / "checkpoint", largest=4096)
    assert len(list((tmp_path / "checkpoint").glob("*.part"))) > 4
    assert max(path.stat().st_size for path in (tmp_path / "checkpoint").iterdir()) <= 4096
    loaded = load_pieces(tmp_path / "checkpoint")
    assert loaded is not None
    assert loaded["step"] == 7
    assert torch.equal(loaded["weights"], WEIGHTS)


def test_a_smaller_state_leaves_no_piece_of_the_one_before(tmp_path: Path) -> None:
    save_pieces(STATE, tmp_path / "checkpoint", largest=4096)
    save_pieces({"step": 8}, tmp_path / "checkpoint", largest=4096)
    assert load_pieces(tmp_path / "checkpoint") == {"step": 8}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_nothing_saved_is_nothing_to_load(tmp_path: Path) -> None:
    assert load_pieces(tmp_path / "checkpoint") is None


def test_an_interruption_between_the_old_and_the_new_leaves_the_old(tmp_path: Path) -> None:
    save_pieces(STATE, tmp_path / "checkpoint")
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.old")
    assert load_pieces(tmp_path / "checkpoint") is not None


def test_a_lost_piece_is_told(tmp_path: Path) -> None:
    save_pieces(STATE, tmp_path / "checkpoint", largest=4096)
    (tmp_path / "checkpoint" / "001.part").unlink()
    with pytest.raises(ValueError, match="not whole"):
        load_pieces(tmp_path / "checkpoint")
