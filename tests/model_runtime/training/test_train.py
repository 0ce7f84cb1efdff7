from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_runtime.training.loss import loss_of, middles_met
from model_runtime.training.network import Network, Shape
from model_runtime.training.rows import MIDDLE, RowFiles, Rows
from model_runtime.training.train import Clock, Data, Recipe, Trainer, schedule

SHAPE = Shape(vocab_size=32, context=16, width=32, layers=1, heads=2)
END, PAD = 0, 4


def counting_rows(count: int) -> Rows:
    """Rows that count upwards: whoever has learnt to add one predicts all but the first token.

    Their last three tokens are a middle.
    """
    starts = np.random.default_rng(0).integers(5, 32, count)
    rows = ((starts[:, None] - 5 + np.arange(17)) % 27 + 5).astype(np.uint16)
    rows[:, -3:] |= MIDDLE
    return rows


def trainer(folder: Path, **recipe: float) -> Trainer:
    rows = RowFiles([counting_rows(40), counting_rows(24)])
    data = Data(rows, RowFiles([counting_rows(8)]), RowFiles([counting_rows(10)]), PAD, END)
    return Trainer(folder, data, SHAPE, Recipe(**recipe), "cpu")  # type: ignore[arg-type]


def silent(share: float, text: str) -> None:
    assert share >= 0
    assert text


def test_training_learns_and_logs_it(tmp_path: Path) -> None:
    training = trainer(tmp_path, steps=150, checkpoint_minutes=0.001)
    before = training.held_out_loss()
    training.run(silent)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["held_out_loss"] < before / 2
    assert log[-1]["step"] == training.step == 150
    assert log[-1]["exact_match_psm"] == log[-1]["exact_match_spm"] == 1.0


def test_a_run_in_slices_gives_the_same_weights_as_one_without_interruption(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", steps=12)
    whole.run(silent)
    for _ in range(12):  # a slice of no length ends after one step
        trainer(tmp_path / "sliced", steps=12).run(silent, slice_minutes=0.0)
    sliced = trainer(tmp_path / "sliced", steps=12)
    assert sliced.step == whole.step == 12
    for mine, theirs in zip(sliced.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_that_is_over_does_nothing_when_it_is_started_again(tmp_path: Path) -> None:
    first = trainer(tmp_path, minutes=0.01)
    first.run(silent)
    again = trainer(tmp_path, minutes=0.01)
    assert (again.step, again.clock.seconds) == (first.step, first.clock.seconds)
    again.run(silent)
    assert again.step == first.step


def test_a_folder_with_another_shape_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).run(silent)
    data = trainer(tmp_path / "else").data
    other = Shape(vocab_size=32, context=16, width=64, layers=1, heads=2)
    with pytest.raises(ValueError, match="another shape"):
        Trainer(tmp_path, data, other, Recipe(), "cpu")


def test_the_learning_rate_rises_stays_and_ends_at_zero() -> None:
    recipe = Recipe(warm_up=0.1, decay=0.5)
    assert schedule(0.0, recipe) == 0.0
    assert schedule(0.05, recipe) == pytest.approx(0.5)
    assert schedule(0.3, recipe) == 1.0
    assert schedule(0.75, recipe) == pytest.approx(0.5)
    assert schedule(1.0, recipe) == 0.0


def test_a_minute_in_which_the_process_was_stopped_does_not_count() -> None:
    clock = Clock()
    for seconds in (*[1.0] * 10, 60.0, *[1.0] * 10):
        clock.add(seconds)
    assert clock.seconds == 21.0


def test_a_machine_that_becomes_slower_for_good_is_believed() -> None:
    clock = Clock()
    for seconds in (*[1.0] * 10, *[3.0] * 10):
        clock.add(seconds)
    assert clock.seconds == 40.0


def test_padding_counts_nothing_and_middles_what_they_are_said_to_count() -> None:
    torch.manual_seed(0)
    network = Network(SHAPE)
    rows = torch.randint(5, 32, (2, 17))
    rows[:, 10:] |= MIDDLE
    with torch.no_grad():
        once, thrice = (loss_of(network, rows, PAD, middle_weight=weight) for weight in (1.0, 3.0))
        padded = rows.clone()
        padded[:, 10:] = PAD
        first = loss_of(network, padded, PAD)
        logits = network((rows & (MIDDLE - 1))[:, :-1])
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), (rows & (MIDDLE - 1))[:, 1:].flatten(), reduction="none"
    ).view(2, 16)
    assert float(first) == pytest.approx(float(losses[:, :9].mean()), abs=1e-5)
    assert float(once) == pytest.approx(float(losses.mean()), abs=1e-5)
    weighted = (losses[:, :9].sum() + 3 * losses[:, 9:].sum()) / (2 * (9 + 3 * 7))
    assert float(thrice) == pytest.approx(float(weighted), abs=1e-5)


def test_a_middle_is_met_when_every_token_of_it_is_and_its_end_counts_apart() -> None:
    def adds_one(tokens: torch.Tensor) -> torch.Tensor:
        following = torch.where(tokens == 14, END, tokens + 1)
        return torch.nn.functional.one_hot(following, 40).float()

    right, wrong, elsewhere, endless = (torch.arange(5, 16) for _ in range(4))
    wrong[-2], elsewhere[3], endless[-3:-1] = 30, 30, torch.tensor([13, 20])
    rows = torch.stack([right, wrong, elsewhere, endless])
    rows[:, -1] = END
    rows[:, -4:] |= MIDDLE
    met, ended = middles_met(adds_one, rows, END)
    assert met.tolist() == [True, False, True, False]
    assert ended.tolist() == [True, False, True, False]
