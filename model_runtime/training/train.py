"""The fourth step of the recipe: training within a fixed time, on whatever the machine has.

The learning rate follows the clock (warm-up, stable, decay: Hägele et al., 2024), so that a run of N
minutes ends decayed on any machine. Everything is in `checkpoint.pt`: a run that was interrupted goes on
from there, and the time before counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional

from model_runtime.training.network import Network, Shape, parameter_count
from model_runtime.training.optimizers import make_optimizers

Rows = NDArray[np.uint16]


@dataclass(frozen=True)
class Recipe:
    """How to train; the shape of what is trained is `Shape`."""

    minutes: float = 60.0
    rows_per_step: int = 6
    rows_at_once: int = 6  # what one forward pass takes; gradients add up
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    warm_up: float = 0.02  # share of the time
    decay: float = 0.45  # share of the time, at the end
    z_loss: float = 1e-4
    clip: float = 1.0
    seed: int = 0
    checkpoint_minutes: float = 2.0
    held_out_rows: int = 64


def schedule(progress: float, recipe: Recipe) -> float:
    """The learning rate's factor when the share `progress` of the time is spent."""
    rising = progress / recipe.warm_up if recipe.warm_up else 1.0
    falling = (1.0 - progress) / recipe.decay if recipe.decay else 1.0
    return max(0.0, min(1.0, rising, falling))


def loss_of(network: Callable[[Tensor], Tensor], rows: Tensor, padding: int, z_loss: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats a token over rows (rows, length) that are not padding."""
    logits = network(rows[:, :-1]).flatten(0, 1).float()  # (rows · (length - 1), vocab_size)
    loss = functional.cross_entropy(logits, rows[:, 1:].flatten(), ignore_index=padding)
    if z_loss:
        loss = loss + z_loss * logits.logsumexp(-1).square().mean()
    return loss


class Trainer:
    """One run in one folder: `checkpoint.pt`, `log.jsonl`."""

    def __init__(
        self,
        folder: Path,
        train: Rows,
        heldout: Rows,
        padding: int,
        shape: Shape,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.folder, self.recipe, self.padding, self.device = folder, recipe, padding, device
        self.train_rows, self.heldout_rows = train, heldout[: recipe.held_out_rows]
        torch.manual_seed(recipe.seed)
        self.network = Network(shape).to(device)
        self.forward: Callable[[Tensor], Tensor] = (
            torch.compile(self.network) if device == "cuda" else self.network
        )
        self.optimizers = make_optimizers(self.network, recipe.muon_lr, recipe.adam_lr)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.step = 0
        self.seconds = 0.0  # spent, over all runs
        self._resume()

    def run(self) -> None:
        """Train until the recipe's minutes are spent; shows a progress bar, logs and saves as it goes."""
        budget = self.recipe.minutes * 60
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns) as bar:
            task = bar.add_task(f"{parameter_count(self.network):,} parameters", total=budget)
            saved = self.seconds
            while self.seconds < budget:
                began = time.monotonic()
                loss = self._train_step(self.seconds / budget)
                self.seconds += time.monotonic() - began
                bar.update(task, completed=self.seconds, description=f"step {self.step} loss {loss:.3f}")
                if self.seconds - saved >= self.recipe.checkpoint_minutes * 60 or self.seconds >= budget:
                    saved = self.seconds
                    self._log(loss)
                    self._save()

    def held_out_loss(self) -> float:
        """Nats a token on held-out packages, packed as in training."""
        with torch.no_grad():
            parts = [self._loss(rows, 0.0) for rows in self._batches(self.heldout_rows)]
        return float(torch.stack(parts).mean())

    def _train_step(self, progress: float) -> float:
        factor = schedule(progress, self.recipe)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        total = 0.0
        batches = list(self._batches(self._next_rows()))
        for rows in batches:
            loss = self._loss(rows, self.recipe.z_loss) / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return total

    def _loss(self, rows: Tensor, z_loss: float) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            return loss_of(self.forward, rows, self.padding, z_loss)

    def _next_rows(self) -> Rows:
        """This step's rows: every epoch its own order, which follows from the seed alone."""
        wanted = np.arange(self.step * self.recipe.rows_per_step, (self.step + 1) * self.recipe.rows_per_step)
        epochs, places = np.divmod(wanted, len(self.train_rows))
        orders = {
            epoch: np.random.default_rng((self.recipe.seed, epoch)).permutation(len(self.train_rows))
            for epoch in set(epochs.tolist())
        }
        picked = [orders[epoch][place] for epoch, place in zip(epochs, places, strict=True)]
        chosen: Rows = self.train_rows[np.sort(picked)]
        return chosen

    def _batches(self, rows: Rows) -> Iterator[Tensor]:
        for start in range(0, len(rows), self.recipe.rows_at_once):
            part = rows[start : start + self.recipe.rows_at_once].astype(np.int64)
            yield torch.from_numpy(part).to(self.device, non_blocking=True)

    def _log(self, loss: float) -> None:
        tokens = self.step * self.recipe.rows_per_step * (self.train_rows.shape[1] - 1)
        record = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "tokens": tokens,
            "train_loss": round(loss, 4),
            "held_out_loss": round(self.held_out_loss(), 4),
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            print(json.dumps(record), file=log)

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "shape": asdict(self.network.shape),
            "step": self.step,
            "seconds": self.seconds,
        }
        unfinished = self.folder / "checkpoint.pt.part"
        torch.save(state, unfinished)
        unfinished.replace(self.folder / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["shape"] != asdict(self.network.shape):
            raise ValueError(f"{path} holds a model of another shape: name another folder, or its shape")
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
