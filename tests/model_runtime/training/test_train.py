from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_runtime.training.network import Shape
from model_runtime.training.train import Recipe, Trainer, schedule

SHAPE = Shape(vocab_size=32, context=16, width=32, layers=1, heads=2)
PAD = 4


def counting_rows(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Rows that count upwards: whoever has learnt to add one predicts all but the first token."""
    starts = np.random.default_rng(0).integers(5, 32, count)
    return ((starts[:, None] - 5 + np.arange(17)) % 27 + 5).astype(np.uint16)


def trainer(folder: Path, **recipe: float) -> Trainer:
    rows = counting_rows(64)
    return Trainer(folder, rows, rows[:8], PAD, SHAPE, Recipe(**recipe), "cpu")  # type: ignore[arg-type]


def test_training_learns_and_logs_it(tmp_path: Path) -> None:
    training = trainer(tmp_path, minutes=0.05, checkpoint_minutes=0.01)
    before = training.held_out_loss()
    training.run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["held_out_loss"] < before / 2
    assert log[-1]["step"] == training.step


def test_a_run_that_is_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    first = trainer(tmp_path, minutes=0.01)
    first.run()
    again = trainer(tmp_path, minutes=0.01)
    assert (again.step, again.seconds) == (first.step, first.seconds)
    for mine, theirs in zip(again.network.parameters(), first.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    step = again.step
    again.run()  # the time is spent: nothing more happens
    assert again.step == step


def test_one_more_step_is_the_same_with_and_without_an_interruption(tmp_path: Path) -> None:
    first = trainer(tmp_path, minutes=0.01)
    first.run()
    again = trainer(tmp_path, minutes=0.01)
    assert first._train_step(0.5) == again._train_step(0.5)
    for mine, theirs in zip(again.network.parameters(), first.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_folder_with_another_shape_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, minutes=0.001).run()
    rows = counting_rows(8)
    with pytest.raises(ValueError, match="another shape"):
        Trainer(tmp_path, rows, rows, PAD, Shape(32, 16, 64, 1, 2), Recipe(), "cpu")


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    recipe = Recipe(warm_up=0.1, decay=0.4)
    rates = [schedule(progress, recipe) for progress in (0.0, 0.05, 0.1, 0.5, 0.6, 0.8, 1.0, 1.1)]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0, 0])


def test_an_epoch_takes_every_row_once(tmp_path: Path) -> None:
    training = trainer(tmp_path, rows_per_step=16)
    training.train_rows = np.arange(64, dtype=np.uint16)[:, None].repeat(17, axis=1)
    seen = []
    for training.step in range(4):
        seen += training._next_rows()[:, 0].tolist()
    assert sorted(seen) == list(range(64))
