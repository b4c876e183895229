"""What goes on beside a training: averaged weights, checkpoints, figures."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from starnet.atomic import replacing
from starnet.train.module import Training

Report = Callable[[int, int, dict[str, float]], None]
"""Called with the step, the steps in all, and the newest figures."""

LAST, BEST, FIGURES = "last.ckpt", "best.ckpt", "figures.csv"


class Average(Callback):
    """Exponential moving average of what learns; it takes its place while the network is validated.

    Parameters
    ----------
    decay : float
        Of the average; less in the first steps, ``(1 + step) / (10 + step)``.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._step = 0
        self._average: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"step": self._step, "average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse."""
        self._step, self._average = state_dict["step"], state_dict["average"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or where a checkpoint left off."""
        learned = dict(_learned(pl_module))
        self._average = {name: self._average.get(name, value).clone().to(value) for name, value in learned.items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Move the average after a step of the optimiser."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self._decay, (1 + self._step) / (10 + self._step))
        for name, value in _learned(pl_module):
            self._average[name].lerp_(value, 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in."""
        if self._average:
            self._own = {name: value.clone() for name, value in _learned(pl_module)}
            _put(pl_module, self._average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take it out again."""
        if self._own is not None:
            _put(pl_module, self._own)
            self._own = None

    @property
    def weights(self) -> dict[str, Tensor]:
        """The average, by the names of the module."""
        return self._average


class Keeper(Callback):
    """Checkpoints: the last at each validation and every few minutes, and the best weights; stops when they stay so.

    Parameters
    ----------
    run : Path
        Where they go.
    monitor : str
        Figure that tells the best: of ``loss`` the lowest, of others the highest.
    patience : int
        Validations without a better one after which training stops; 0 for none.
    minutes : float
        Longest time between checkpoints.
    average : Average, optional
        Whose weights are the best.
    """

    def __init__(
        self, run: Path, *, monitor: str, patience: int = 0, minutes: float = 10.0, average: Average | None = None
    ) -> None:
        self._run, self._monitor, self._patience, self._seconds = run, monitor, patience, 60 * minutes
        self._average = average
        self._saved = time.monotonic()
        self.best = math.nan
        self.best_step = self.validated = 0
        self.best_figures: dict[str, float] = {}
        self.stale = 0

    def state_dict(self) -> dict[str, Any]:
        """The best, and how long ago it was."""
        return {name: getattr(self, name) for name in ("best", "best_step", "best_figures", "stale", "validated")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse."""
        vars(self).update(state_dict)

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return 0 < self._patience <= self.stale

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not go on where patience had run out."""
        trainer.should_stop = trainer.should_stop or self.stopped

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save when it is time, at the end of a step; where a validation follows, it saves."""
        assert isinstance(pl_module, Training)
        whole = pl_module.batches % pl_module.config.accumulate == 0
        validated = trainer.global_step % pl_module.config.validate_every == 0
        due = time.monotonic() - self._saved >= self._seconds or trainer.global_step == trainer.max_steps
        if whole and due and not validated:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and keep the weights if they are the best so far."""
        assert isinstance(pl_module, Training)
        value = pl_module.figures.get(self._monitor, math.nan)
        self.validated = trainer.global_step
        better = value < self.best if self._monitor == "loss" else value > self.best
        if better or math.isnan(self.best):
            self.best, self.best_step, self.stale = value, trainer.global_step, 0
            self.best_figures = dict(pl_module.figures)
            if trainer.is_global_zero:
                weights = dict(pl_module.network.state_dict())
                if self._average is not None:
                    average = {name.removeprefix("network."): own for name, own in self._average.weights.items()}
                    weights |= {name: average[name] for name in weights if name in average}
                with replacing(self._run / BEST) as partial:
                    torch.save(weights, partial)
        else:
            self.stale += 1
        trainer.should_stop = trainer.should_stop or self.stopped
        if trainer.state.fn == "fit":
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        with replacing(self._run / LAST) as partial:
            trainer.save_checkpoint(partial)
        self._saved = time.monotonic()


class Figures(Callback):
    """Figures of training and validation as CSV and for TensorBoard, and reported to whoever asks.

    Parameters
    ----------
    run : Path
        Where they go.
    every : int
        Steps between rows; losses are means over them.
    report : callable, optional
        See `Report`.
    """

    def __init__(self, run: Path, *, every: int = 10, report: Report | None = None) -> None:
        self._run, self._every, self._report = run, every, report
        self._began = time.monotonic()
        self._sums: dict[str, float] = {}
        self._count = 0
        self._newest: dict[str, float] = {}
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All rows."""
        self._tick()
        return {name: getattr(self, name) for name in ("rows", "seconds", "_sums", "_count", "_newest")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse: rows after the checkpoint will be made again."""
        vars(self).update(state_dict)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Add up losses, and write their means now and then."""
        assert isinstance(pl_module, Training)
        for name, value in pl_module.latest.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1
        if pl_module.batches % pl_module.config.accumulate:
            return
        if trainer.global_step % self._every == 0:
            means = {f"train_{name}": value / self._count for name, value in self._sums.items()}
            self._sums, self._count = {}, 0
            self._add(trainer, {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"], **means})
        if self._report is not None:
            self._report(trainer.global_step, pl_module.config.steps, self._newest)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the figures of a validation."""
        assert isinstance(pl_module, Training)
        self._add(trainer, {f"validation_{name}": value for name, value in pl_module.figures.items()})
        self.write()
        if self._report is not None:
            self._report(trainer.global_step, pl_module.config.steps, self._newest)

    def write(self) -> None:
        """Write all rows as CSV."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with replacing(self._run / FIGURES) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def _add(self, trainer: Trainer, figures: dict[str, float]) -> None:
        self._tick()
        self.rows.append({"step": trainer.global_step, "seconds": round(self.seconds, 1), **figures})
        self._newest |= figures
        for logger in trainer.loggers:
            logger.log_metrics(figures, trainer.global_step)

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds, self._began = self.seconds + now - self._began, now


def _learned(module: LightningModule) -> Iterator[tuple[str, Tensor]]:
    """Weights that learn, and what their normalisations remember."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            yield name, parameter.detach()
    for name, values in module.named_buffers():
        if values.is_floating_point():
            yield name, values


def _put(module: LightningModule, values: dict[str, Tensor]) -> None:
    for name, own in _learned(module):
        own.copy_(values[name])
