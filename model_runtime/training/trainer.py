"""The training loop: a fixed time or number of steps, on CPU or GPU, in one time slice or in several.

The learning rate follows the time spent in steps (warm-up, stable, decay: Hägele et al., 2024), so that a run
of N minutes ends with a decayed rate on any machine. State is saved every few minutes, and resumed.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from model_runtime.training.loss import ExactMatch, cross_entropy, exact_match, to_tensors
from model_runtime.training.packing import SpecialTokens
from model_runtime.training.rows import RowFiles, Rows
from model_runtime.training.saved_state import load_state, save_state

Progress = Callable[[float, str], None]
"""Is told the share that is done, and a line of text about it."""

OUTLIER = 5.0
"""A step that took so many times the median was interrupted: the machine slept, say."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        minutes: training time, over all slices.
        steps: number of steps, in place of `minutes`, unless 0.
        rows_per_step: the batch size.
        rows_at_once: rows in one forward pass; gradients are accumulated.
        rate: factor on the learning rates of all optimizers.
        warm_up, decay: shares of the run, at its start and at its end.
        z_loss, middle_weight: see `cross_entropy`.
        clip: the largest norm of the gradient.
        seed: of the order of rows.
        checkpoint_minutes: time between two saves.
        held_out_rows: how many rows the held-out loss is computed on.
    """

    minutes: float = 60.0
    steps: int = 0
    rows_per_step: int = 8
    rows_at_once: int = 2
    rate: float = 1.0
    warm_up: float = 0.02
    decay: float = 0.45
    z_loss: float = 1e-4
    middle_weight: float = 3.0
    clip: float = 1.0
    seed: int = 0
    checkpoint_minutes: float = 5.0
    held_out_rows: int = 32


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, and held-out rows and probes (see `exact_match`) to monitor training by."""

    train: RowFiles
    held_out: RowFiles
    probes: RowFiles
    special: SpecialTokens


def rate_factor(progress: float, options: TrainingOptions) -> float:
    """The factor on the learning rates when the share `progress` of the run is done."""
    rising = progress / options.warm_up if options.warm_up else 1.0
    falling = (1.0 - progress) / options.decay if options.decay else 1.0
    return options.rate * max(0.0, min(1.0, rising, falling))


class StepClock:
    """Adds up the seconds that steps take; an outlier counts as the median of the latest steps."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._latest = deque[float](maxlen=50)

    def add(self, seconds: float) -> None:
        if len(self._latest) >= 5:
            usual = median(self._latest)
            seconds = seconds if seconds < OUTLIER * usual else usual
        self._latest.append(seconds)
        self.seconds += seconds


class Trainer:
    """A training run in a folder: `checkpoint/` is its state, `log.jsonl` its log. Resumes on construction.

    Args:
        folder: the run's.
        network: maps tokens (rows, length) to logits (rows, length, vocab_size); on the device to train on.
        optimizers: of its parameters, each with its peak learning rates.
        data: rows that are one token longer than the context.
        options: how to train.
        shape: the network's, saved beside its weights.
        low_precision: compute matrix products in bf16; weights stay in fp32.
        compiled: compile the loss first, which takes about a minute.

    Raises:
        ValueError: the folder has a run of a network of another shape.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        optimizers: Sequence[Optimizer],
        data: TrainingData,
        options: TrainingOptions,
        *,
        shape: Mapping[str, Any],
        low_precision: bool = False,
        compiled: bool = False,
    ) -> None:
        self.folder, self.network, self.optimizers = folder, network, optimizers
        self.data, self.options = data, options
        self._shape, self._low_precision, self._compiled = dict(shape), low_precision, compiled
        folder.mkdir(parents=True, exist_ok=True)
        self._device = next(network.parameters()).device
        self._loss_function = torch.compile(cross_entropy) if compiled else cross_entropy
        self._rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.step = 0
        self.clock = StepClock()
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._resume()

    @property
    def progress(self) -> float:
        """The share of the run that is done."""
        if self.options.steps:
            return self.step / self.options.steps
        return self.clock.seconds / (self.options.minutes * 60)

    def run(self, show: Progress, slice_minutes: float | None = None) -> None:
        """Train to the end of the run, or for `slice_minutes`; logs and saves as it goes."""
        began = saved = time.monotonic()
        if self._compiled:
            self._compile()
        while self.progress < 1.0:
            start = time.monotonic()
            loss = self._train_step()
            now = time.monotonic()
            self.clock.add(now - start)
            show(self.progress, f"step {self.step} loss {loss:.3f}")
            over = slice_minutes is not None and now - began >= slice_minutes * 60
            if over or self.progress >= 1.0 or now - saved >= self.options.checkpoint_minutes * 60:
                self._log(loss)
                self._save()
                saved = time.monotonic()
            if over:
                return

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Nats a token on held-out rows."""
        rows = self.data.held_out[np.arange(min(self.options.held_out_rows, len(self.data.held_out)))]
        parts = [self._loss(batch, z_loss=0.0, middle_weight=1.0) for batch in self._batches(rows)]
        return float(torch.stack(parts).mean())

    def exact_match(self) -> ExactMatch:
        """Exact match on the probes."""
        probes = self.data.probes[np.arange(len(self.data.probes))]
        end, rows_at_once = self.data.special.end_of_text, self.options.rows_at_once
        with self._precision():
            return exact_match(self.network, probes, end, rows_at_once, self._device)

    def _compile(self) -> None:
        """Compile before the clock runs."""
        rows = next(self._batches(self._next_rows()))
        self._loss(rows, self.options.z_loss, self.options.middle_weight).backward()  # type: ignore[no-untyped-call]
        self.network.zero_grad()

    def _train_step(self) -> float:
        factor = rate_factor(self.progress, self.options)
        for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        batches = list(self._batches(self._next_rows()))
        total = torch.zeros((), device=self._device)
        for batch in batches:
            loss = self._loss(batch, self.options.z_loss, self.options.middle_weight) / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return float(total)

    def _loss(self, batch: tuple[Tensor, Tensor], z_loss: float, middle_weight: float) -> Tensor:
        with self._precision():
            return self._loss_function(self.network, *batch, self.data.special.padding, z_loss, middle_weight)

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._low_precision)

    def _next_rows(self) -> Rows:
        """The rows of this step: each epoch has an order of its own, which follows from the seed alone."""
        count = self.options.rows_per_step
        wanted = np.arange(self.step * count, (self.step + 1) * count)
        epochs, indices = np.divmod(wanted, len(self.data.train))
        picked = [self._order_of(int(epoch))[index] for epoch, index in zip(epochs, indices, strict=True)]
        return self.data.train[np.sort(picked)]

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng((self.options.seed, epoch))
            self._order = epoch, random.permutation(len(self.data.train))
        return self._order[1]

    def _batches(self, rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(rows), self.options.rows_at_once):
            yield to_tensors(rows[start : start + self.options.rows_at_once], self._device)

    def _log(self, loss: float) -> None:
        match = self.exact_match()
        record = {
            "step": self.step,
            "minutes": round(self.clock.seconds / 60, 2),
            "tokens": self.step * self.options.rows_per_step * (self.data.train.length - 1),
            "train_loss": round(loss, 4),
            "held_out_loss": round(self.held_out_loss(), 4),
            "exact_match_psm": round(match.psm, 4),
            "exact_match_spm": round(match.spm, 4),
            "ended_psm": round(match.psm_ended, 4),
            "ended_spm": round(match.spm_ended, 4),
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "shape": self._shape,
            "step": self.step,
            "seconds": self.clock.seconds,
        }
        save_state(state, self.folder / "checkpoint")

    def _resume(self) -> None:
        state = load_state(self.folder / "checkpoint", self._device)
        if state is None:
            return
        if state["shape"] != self._shape:
            folder = self.folder / "checkpoint"
            raise ValueError(f"{folder} holds a model of another shape: name another folder, or its shape")
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.clock = state["step"], StepClock(state["seconds"])
