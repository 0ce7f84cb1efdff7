from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW

from model_runtime.training import Muon, RowFiles, Rows, SpecialTokens, Trainer, TrainingData, TrainingOptions
from model_runtime.training.loss import cross_entropy, middles_matched, to_tensors
from model_runtime.training.optimizers import orthogonalize
from model_runtime.training.rows import middle_bit
from model_runtime.training.trainer import StepClock, rate_factor

END, PAD, VOCABULARY = 0, 4, 32
MIDDLE_BIT = middle_bit(np.dtype(np.uint16))


def make_network(width: int = 32) -> nn.Module:
    """Predicts a token from the one before it."""
    torch.manual_seed(0)
    embedding, head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
    return nn.Sequential(embedding, nn.Linear(width, width), nn.GELU(), head)


def counting_rows(count: int) -> Rows:
    """Rows that count upwards; their last three tokens are a middle."""
    starts = np.random.default_rng(0).integers(5, 32, count)
    rows = ((starts[:, None] - 5 + np.arange(17)) % 27 + 5).astype(np.uint16)
    rows[:, -3:] |= MIDDLE_BIT
    return rows


def make_trainer(folder: Path, width: int = 32, **options: float) -> Trainer:
    network = make_network(width)
    named = list(network.named_parameters())
    matrices = [parameter for name, parameter in named if name == "1.weight"]
    others = [parameter for name, parameter in named if name != "1.weight"]
    data = TrainingData(
        RowFiles([counting_rows(40), counting_rows(24)]),
        RowFiles([counting_rows(8)]),
        RowFiles([counting_rows(10)]),
        SpecialTokens(END, 1, 2, 3, PAD),
    )
    return Trainer(
        folder,
        network,
        [Muon(matrices, 0.02), AdamW(others, 0.01)],
        data,
        TrainingOptions(**options),  # type: ignore[arg-type]
        shape={"width": width},
    )


def silent(share: float, text: str) -> None:
    assert share >= 0
    assert text


def test_training_learns_and_logs_it(tmp_path: Path) -> None:
    training = make_trainer(tmp_path, steps=150, checkpoint_minutes=0.001)
    before = training.held_out_loss()
    training.run(silent)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["held_out_loss"] < before / 2
    assert log[-1]["step"] == training.step == 150
    assert log[-1]["exact_match_psm"] == log[-1]["exact_match_spm"] == 1.0


def test_a_run_in_time_slices_gives_the_same_weights_as_one_without_interruption(tmp_path: Path) -> None:
    whole = make_trainer(tmp_path / "whole", steps=12)
    whole.run(silent)
    for _ in range(12):  # a slice of no length ends after one step
        make_trainer(tmp_path / "sliced", steps=12).run(silent, slice_minutes=0.0)
    sliced = make_trainer(tmp_path / "sliced", steps=12)
    assert sliced.step == whole.step == 12
    for mine, theirs in zip(sliced.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_finished_run_does_nothing_when_it_is_started_again(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, minutes=0.01)
    first.run(silent)
    again = make_trainer(tmp_path, minutes=0.01)
    assert (again.step, again.clock.seconds) == (first.step, first.clock.seconds)
    again.run(silent)
    assert again.step == first.step


def test_a_folder_with_another_shape_is_refused(tmp_path: Path) -> None:
    make_trainer(tmp_path, steps=1).run(silent)
    with pytest.raises(ValueError, match="another shape"):
        make_trainer(tmp_path, width=64)


def test_the_learning_rate_rises_stays_and_ends_at_zero() -> None:
    options = TrainingOptions(warm_up=0.1, decay=0.5)
    assert rate_factor(0.0, options) == 0.0
    assert rate_factor(0.05, options) == pytest.approx(0.5)
    assert rate_factor(0.3, options) == 1.0
    assert rate_factor(0.75, options) == pytest.approx(0.5)
    assert rate_factor(1.0, options) == 0.0


def test_a_minute_in_which_the_process_was_stopped_does_not_count() -> None:
    clock = StepClock()
    for seconds in (*[1.0] * 10, 60.0, *[1.0] * 10):
        clock.add(seconds)
    assert clock.seconds == 21.0


def test_a_machine_that_becomes_slower_for_good_is_believed() -> None:
    clock = StepClock()
    for seconds in (*[1.0] * 10, *[3.0] * 10):
        clock.add(seconds)
    assert clock.seconds == 40.0


def test_padding_is_ignored_and_middles_have_their_weight() -> None:
    network = make_network()
    tokens = torch.randint(5, 32, (2, 17))
    in_middle = torch.zeros_like(tokens, dtype=torch.bool)
    in_middle[:, 10:] = True
    padded = tokens.clone()
    padded[:, 10:] = PAD
    with torch.no_grad():
        once, thrice = (
            cross_entropy(network, tokens, in_middle, PAD, middle_weight=weight) for weight in (1.0, 3.0)
        )
        first = cross_entropy(network, padded, torch.zeros_like(in_middle), PAD)
        logits = network(tokens[:, :-1])
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    ).view(2, 16)
    assert float(first) == pytest.approx(float(losses[:, :9].mean()), abs=1e-5)
    assert float(once) == pytest.approx(float(losses.mean()), abs=1e-5)
    weighted = (losses[:, :9].sum() + 3 * losses[:, 9:].sum()) / (2 * (9 + 3 * 7))
    assert float(thrice) == pytest.approx(float(weighted), abs=1e-5)


def test_a_middle_matches_if_all_its_tokens_do_and_its_end_is_counted_separately() -> None:
    def adds_one(tokens: torch.Tensor) -> torch.Tensor:
        following = torch.where(tokens == 14, END, tokens + 1)
        return torch.nn.functional.one_hot(following, 40).float()

    right, wrong, elsewhere, endless = (torch.arange(5, 16) for _ in range(4))
    wrong[-2], elsewhere[3], endless[-3:-1] = 30, 30, torch.tensor([13, 20])
    tokens = torch.stack([right, wrong, elsewhere, endless])
    tokens[:, -1] = END
    in_middle = torch.zeros_like(tokens, dtype=torch.bool)
    in_middle[:, -4:] = True
    matched, ended = middles_matched(adds_one, tokens, in_middle, END)
    assert matched.tolist() == [True, False, True, False]
    assert ended.tolist() == [True, False, True, False]


@pytest.mark.parametrize("row_type", [np.uint16, np.uint32])
def test_the_bit_of_middles_is_no_part_of_a_token(row_type: type[np.unsignedinteger[Any]]) -> None:
    bit = middle_bit(np.dtype(row_type))
    rows = np.array([[5, 6 | bit, 0 | bit]], dtype=row_type)
    tokens, in_middle = to_tensors(rows, torch.device("cpu"))
    assert tokens.tolist() == [[5, 6, 0]]
    assert in_middle.tolist() == [[False, True, True]]


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_muons_update_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
