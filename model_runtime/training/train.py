"""The fourth step of the recipe: training within a fixed time, on whatever the machine has.

{rows, network, optimizers} ▶ **train** ▶ pieces ▶ export. The learning rate follows the time spent in steps
(warm-up, stable, decay: Hägele et al., 2024), so that a run of N minutes ends decayed on any machine, in one
slice or in several. Everything is in `checkpoint/`: a run that was interrupted goes on from there.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_runtime.training.loss import Layouts, layouts_met, loss_of
from model_runtime.training.network import Network, Shape
from model_runtime.training.optimizers import make_optimizers
from model_runtime.training.pieces import load_pieces, save_pieces
from model_runtime.training.rows import RowFiles, Rows

Progress = Callable[[float, str], None]
"""Is told the share that is done, and what to say of it."""

STOPPED = 5.0
"""A step that takes so many times the usual did not train all the while: the machine slept, or the process
was stopped."""


@dataclass(frozen=True)
class Recipe:
    """How to train; the shape of what is trained is `Shape`."""

    minutes: float = 60.0  # in steps, over all slices
    steps: int = 0  # in place of minutes, where it is not 0
    rows_per_step: int = 8
    rows_at_once: int = 2  # what one forward pass takes; gradients add up
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    rate: float = 1.0  # of both
    warm_up: float = 0.02  # share of the run
    decay: float = 0.45  # share of the run, at the end
    z_loss: float = 1e-4
    middle_weight: float = 3.0
    clip: float = 1.0
    seed: int = 0
    checkpoint_minutes: float = 5.0
    held_out_rows: int = 32


@dataclass(frozen=True)
class Data:
    """What is trained on, and what it is watched by: held-out rows, and probes in PSM, then in SPM."""

    train: RowFiles
    heldout: RowFiles
    probes: RowFiles
    padding: int
    end: int  # of text


def schedule(progress: float, recipe: Recipe) -> float:
    """The learning rate's factor when the share `progress` of the run is done."""
    rising = progress / recipe.warm_up if recipe.warm_up else 1.0
    falling = (1.0 - progress) / recipe.decay if recipe.decay else 1.0
    return recipe.rate * max(0.0, min(1.0, rising, falling))


class Clock:
    """Adds up what steps take. A step that took far longer than the last ones counts as they did."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._last = deque[float](maxlen=50)

    def add(self, seconds: float) -> None:
        if len(self._last) >= 5:
            usual = median(self._last)
            seconds = seconds if seconds < STOPPED * usual else usual
        self._last.append(seconds)
        self.seconds += seconds


class Trainer:
    """One run in one folder: `checkpoint/`, `log.jsonl`.

    Args:
        folder: where they are kept.
        data: rows whose length is the shape's context and one.
        shape: of the network.
        recipe: how to train.
        device: `cpu` or `cuda`.
        low_precision: whether products are made in bf16; weights are in fp32 all the same.
        compiled: whether the network is compiled first, which takes a minute or so.
        start: the weights to begin with; a run that has begun goes on with its own.
    """

    def __init__(
        self,
        folder: Path,
        data: Data,
        shape: Shape,
        recipe: Recipe,
        device: str,
        low_precision: bool = False,
        compiled: bool = False,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.folder, self.data, self.recipe, self.device = folder, data, recipe, device
        self._low_precision, self._compiled = low_precision, compiled
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.network = Network(shape).to(device)
        if start is not None:
            self.network.load_state_dict(start)
        self._loss_of = torch.compile(loss_of) if compiled else loss_of
        self.optimizers = make_optimizers(self.network, recipe.muon_lr, recipe.adam_lr)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.step = 0
        self.clock = Clock()
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._resume()

    @property
    def progress(self) -> float:
        """The share of the run that is done."""
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.clock.seconds / (self.recipe.minutes * 60)

    def run(self, show: Progress, slice_minutes: float | None = None) -> None:
        """Train to the run's end, or, however far it is, for a slice; logs and saves as it goes."""
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
            if over or self.progress >= 1.0 or now - saved >= self.recipe.checkpoint_minutes * 60:
                self._log(loss)
                self._save()
                saved = time.monotonic()
            if over:
                return

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Nats a token on held-out packages, packed as in training."""
        rows = self.data.heldout[np.arange(min(self.recipe.held_out_rows, len(self.data.heldout)))]
        parts = [self._loss(part, z_loss=0.0, middle_weight=1.0) for part in self._batches(rows)]
        return float(torch.stack(parts).mean())

    def exact_match(self) -> Layouts:
        """How far the probes are met in PSM and in SPM."""
        probes = self.data.probes[np.arange(len(self.data.probes))]
        with self._precision():
            return layouts_met(self.network, probes, self.data.end, self.recipe.rows_at_once, self.device)

    def _compile(self) -> None:
        """Have everything compiled before the clock runs."""
        rows = next(self._batches(self._next_rows()))
        self._loss(rows, self.recipe.z_loss, self.recipe.middle_weight).backward()  # type: ignore[no-untyped-call]
        self.network.zero_grad()

    def _train_step(self) -> float:
        factor = schedule(self.progress, self.recipe)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        batches = list(self._batches(self._next_rows()))
        total = torch.zeros((), device=self.device)
        for rows in batches:
            loss = self._loss(rows, self.recipe.z_loss, self.recipe.middle_weight) / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return float(total)

    def _loss(self, rows: Tensor, z_loss: float, middle_weight: float) -> Tensor:
        with self._precision():
            return self._loss_of(self.network, rows, self.data.padding, z_loss, middle_weight)

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self._low_precision)

    def _next_rows(self) -> Rows:
        """This step's rows: every epoch its own order, which follows from the seed alone."""
        wanted = np.arange(self.step * self.recipe.rows_per_step, (self.step + 1) * self.recipe.rows_per_step)
        epochs, places = np.divmod(wanted, len(self.data.train))
        picked = [self._order_of(int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)]
        return self.data.train[np.sort(picked)]

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng((self.recipe.seed, epoch))
            self._order = epoch, random.permutation(len(self.data.train))
        return self._order[1]

    def _batches(self, rows: Rows) -> Iterator[Tensor]:
        for start in range(0, len(rows), self.recipe.rows_at_once):
            part = rows[start : start + self.recipe.rows_at_once].astype(np.int64)
            yield torch.from_numpy(part).to(self.device, non_blocking=True)

    def _log(self, loss: float) -> None:
        met = self.exact_match()
        record = {
            "step": self.step,
            "minutes": round(self.clock.seconds / 60, 2),
            "tokens": self.step * self.recipe.rows_per_step * (self.data.train.length - 1),
            "train_loss": round(loss, 4),
            "held_out_loss": round(self.held_out_loss(), 4),
            "exact_match_psm": round(met.psm, 4),
            "exact_match_spm": round(met.spm, 4),
            "ended_psm": round(met.psm_ended, 4),
            "ended_spm": round(met.spm_ended, 4),
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            print(json.dumps(record), file=log)

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "shape": asdict(self.network.shape),
            "step": self.step,
            "seconds": self.clock.seconds,
        }
        save_pieces(state, self.folder / "checkpoint")

    def _resume(self) -> None:
        state = load_pieces(self.folder / "checkpoint", self.device)
        if state is None:
            return
        if state["shape"] != asdict(self.network.shape):
            place = self.folder / "checkpoint"
            raise ValueError(f"{place} holds a model of another shape: name another folder, or its shape")
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.clock = state["step"], Clock(state["seconds"])
