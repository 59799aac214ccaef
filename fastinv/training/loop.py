"""The training loop: AdamW, warm-up and cosine schedule, clipping, averaged weights, checkpoints."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastinv.models.base import PosteriorModel
from fastinv.models.files import read_tensors, require_same, write_tensors
from fastinv.models.settings import Settings
from fastinv.presets import Preset
from fastinv.presets import preset as preset_by_name
from fastinv.problems import Problem
from fastinv.training.data import VALIDATION_PAIRS, BatchOrder, TrainingSet, generator_for, training_set
from fastinv.training.progress import (
    OnProgress,
    Reporter,
    TrainingDivergedError,
    TrainingProgress,
    TrainingResult,
)
from fastinv.training.step import Step

CURVE_POINTS = 200
VALIDATIONS, CHECKPOINTS = 10, 10
# Steps that a GPU is given before its losses are read: waiting for each would take longer than the steps.
AT_ONCE = 50


def fit(
    model: PosteriorModel,
    problem: Problem,
    *,
    preset: str | Preset = "quick",
    seed: int = 0,
    on_progress: OnProgress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> TrainingResult:
    """Train a model on a problem's shared training set.

    Every batch and every random number is a pure function of (seed, batch), so that a training which
    resumes from a checkpoint ends, on a CPU, with the same weights bit for bit.

    Args:
        model: trained in place; ends in eval mode with its averaged weights.
        problem: the problem that the model was made for.
        preset: number of pairs, batch size and epochs.
        seed: of the order of batches and of the loss's random numbers.
        on_progress: called a few times a second at most.
        checkpoint: a .safetensors file; if it exists, training goes on from it.
        checkpoint_every: batches between checkpoints; about ten in all if None.

    Raises:
        ValueError: the model belongs to another problem, or the training data are not finite.
        TrainingDivergedError: NaN or infinity; the model keeps its last good weights.
        CheckpointError: the checkpoint is damaged or belongs to another training.

    Examples:
        >>> import fastinv
        >>> problem = fastinv.problem("kinematics")
        >>> model = fastinv.model("cinn", problem, preset="smoke")
        >>> fit(model, problem, preset="smoke").batches
        200
    """
    sizes = preset if isinstance(preset, Preset) else preset_by_name(preset)
    if problem.name != model.problem.name:
        raise ValueError(f"the model was made for problem {model.problem.name!r}, not {problem.name!r}")
    if not model.info.trained:
        return TrainingResult(0.0, 0, [], [], "")
    data = training_set(problem, sizes.training_pairs)
    trainer = Trainer(model, data.to(model.device), sizes, seed, on_progress)
    path = Path(checkpoint) if checkpoint is not None else None
    if path is not None and path.exists():
        trainer.restore(path)
    every = checkpoint_every or max(1, sizes.batches // CHECKPOINTS)
    try:
        trainer.run(path, every)
    finally:
        trainer.use_averaged_weights()
    return trainer.result()


def learning_rate(step: int, steps: int, settings: Settings, parameters: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to 0."""
    peak, warmup = settings.peak_rate(parameters), max(1.0, settings.warmup * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


class Trainer:
    """State of one training: everything that a checkpoint holds."""

    def __init__(
        self,
        model: PosteriorModel,
        data: TrainingSet,
        preset: Preset,
        seed: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.model, self.data, self.preset, self.seed = model, data, preset, seed
        self.settings: Settings = model.settings
        self.order = BatchOrder(preset, seed, model.family.earlier_batches)
        self.optimise = Step(model, data, preset.batch_size, self.order.pairs, preset.batches)
        self.parameters, self.averaged = self.optimise.parameters, self.optimise.averaged
        self.at_once = AT_ONCE if model.device.type == "cuda" else 1
        self.step = 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.loss_curve: list[tuple[int, float]] = []
        self.validation_curve: list[tuple[int, float]] = []
        self.seconds_before = 0.0
        self.started = time.monotonic()
        self.report = Reporter(on_progress)

    def run(self, checkpoint: Path | None, checkpoint_every: int) -> None:
        """Train to the last batch."""
        steps = self.preset.batches
        curve_every = max(1, steps // CURVE_POINTS)
        # A training of few pairs is not to spend its time on validating.
        affordable = steps * self.preset.batch_size // VALIDATION_PAIRS
        validate_every = max(1, steps // min(VALIDATIONS, max(2, affordable)))
        events = (curve_every, validate_every, checkpoint_every)
        self.model.train()
        while self.step < steps:
            upcoming = min(every - self.step % every for every in events)
            losses = self.advance(min(self.at_once, upcoming, steps - self.step))
            # One after the other, as a sum of floats depends on its order.
            self.loss_sum, self.loss_count = sum(losses, self.loss_sum), self.loss_count + len(losses)
            if self.step % validate_every == 0 or self.step == steps:
                self.validation_curve.append((self.step, self.validation_loss()))
            self.report(self.progress())
            if self.step % curve_every == 0 or self.step == steps:
                self.loss_curve.append((self.step, self.loss_sum / self.loss_count))
                self.loss_sum, self.loss_count = 0.0, 0
            if checkpoint is not None and (self.step % checkpoint_every == 0 or self.step == steps):
                self.save(checkpoint)

    def advance(self, n: int) -> list[float]:
        """Do n optimiser steps and wait for them once; returns their losses.

        Raises:
            TrainingDivergedError: NaN or infinity; the weights are those before that batch.
        """
        device, steps = self.model.device, range(self.step, self.step + n)
        rows = torch.stack([self.order.rows(k) for k in steps]).to(device)
        noise = torch.stack([self._noise(k) for k in steps]).to(device)
        seen = torch.empty(n, 2, device=device)
        for i, k in enumerate(steps):
            rate = learning_rate(k, self.preset.batches, self.settings, self.model.spec.budget)
            # Early on the average follows closely, so that it forgets the random start.
            weight = 1.0 - min(self.settings.ema, (2 + k) / (11 + k))
            seen[i] = self.optimise(rows[i], noise[i], rate, weight)
        losses: list[float] = []
        for loss, norm in seen.tolist():
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingDivergedError(
                    f"training of {self.model.info.name!r} diverged at batch {self.step + 1} of "
                    f"{self.preset.batches}: loss {loss:g}, norm of its gradient {norm:g}"
                )
            self.step += 1
            losses.append(loss)
        return losses

    def _noise(self, step: int) -> Tensor:
        return self.model.draw_loss_noise(self.preset.batch_size, generator_for(self.seed, "loss", step))

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, averaged in zip(self.parameters, self.averaged, strict=True):
            kept = parameter.clone()
            parameter.copy_(averaged)
            averaged.copy_(kept)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Loss of the averaged weights on held-out pairs, always with the same random numbers."""
        self._swap()
        self.model.eval()
        generator = generator_for(self.seed, "validation", 0)
        loss = float(self.model.loss(self.data.x_validation, self.data.y_validation, generator=generator))
        self.model.train()
        self._swap()
        return loss

    def use_averaged_weights(self) -> None:
        """Leave the averaged weights in the model and put it into eval mode."""
        with torch.no_grad():
            for parameter, averaged in zip(self.parameters, self.averaged, strict=True):
                parameter.copy_(averaged)
        self.model.eval()

    def progress(self) -> TrainingProgress:
        """Where the training stands, for the callback."""
        validation = self.validation_curve[-1][1] if self.validation_curve else None
        return TrainingProgress(
            epoch=1 + (self.step - 1) // self.preset.batches_per_epoch,
            epochs=self.preset.epochs,
            batch=self.step,
            batches=self.preset.batches,
            loss=self.loss_sum / max(1, self.loss_count),
            validation_loss=validation,
            elapsed_s=self.elapsed(),
        )

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds_before + time.monotonic() - self.started

    def result(self) -> TrainingResult:
        """What the finished training leaves beside the model."""
        return TrainingResult(
            self.elapsed(), self.step, self.loss_curve, self.validation_curve, self.data.checksum
        )

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be resumed."""
        sizes = self.preset
        return {
            "spec": self.model.spec.as_dict(),
            "seed": self.seed,
            "schedule": [sizes.training_pairs, sizes.batch_size, sizes.epochs],
            "data": self.data.checksum,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint; the file is replaced in one step."""
        tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for i in range(len(self.parameters)):
            tensors[f"averaged.{i}"] = self.averaged[i]
            for name, value in self.optimise.state[i].items():
                tensors[f"optimiser.{i}.{name}"] = value
        state = {
            "step": self.step,
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
            "loss_curve": self.loss_curve,
            "validation_curve": self.validation_curve,
            "seconds": self.elapsed(),
        }
        write_tensors(path, "training", self.identity(), state, tensors)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; nothing is changed unless all of it fits."""
        found, state, tensors = read_tensors(path, "training")
        require_same(path, found, self.identity())
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(weights)
        for i, averaged in enumerate(self.averaged):
            averaged.copy_(tensors[f"averaged.{i}"])
            # In place: AdamW walks moments and parameter in memory order, so that strides must agree.
            for name, value in self.optimise.state[i].items():
                value.copy_(tensors[f"optimiser.{i}.{name}"])
        self.step, self.seconds_before = state["step"], state["seconds"]
        self.loss_sum, self.loss_count = state["loss_sum"], state["loss_count"]
        self.loss_curve = [(int(b), float(v)) for b, v in state["loss_curve"]]
        self.validation_curve = [(int(b), float(v)) for b, v in state["validation_curve"]]
