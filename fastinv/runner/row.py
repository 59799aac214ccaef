"""One row of a benchmark: its due stages, one after the other. Knows no store, so it runs in any process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fastinv.problems import PluginError
from fastinv.problems import problem as problem_by_name
from fastinv.replacing import remove_unfinished
from fastinv.runner import stages
from fastinv.runner.events import Note, StageProgress
from fastinv.runner.messages import Began, Broke, Deliver, Described, Ended, ScoredUnder
from fastinv.runner.settings import BenchSettings
from fastinv.runner.threads import limit_torch
from fastinv.runner.truth import Reference
from fastinv.store import FLOOR, StageKey, StageResult, StoreError
from fastinv.timing import Plan

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel


@dataclass(frozen=True)
class RowTask:
    """One model (or the floor) on one problem under one seed, and what is to be done of it.

    Attributes:
        settings: the run's.
        problem: name of the problem.
        model: name of the model, or "floor".
        seed: of the training.
        due: stages to do, in order.
        checkpoints: folder of the run's checkpoints.
        cache: folder of the ground-truth cache, None for none.
        timing: how long and how exactly it is timed, wherever that is.
    """

    settings: BenchSettings
    problem: str
    model: str
    seed: int
    due: tuple[str, ...]
    checkpoints: Path
    cache: Path | None
    timing: Plan

    def key(self, stage: str) -> StageKey:
        """The key of one of its stages."""
        return StageKey(self.problem, self.model, self.seed, stage)

    @property
    def weights(self) -> Path:
        """File of the trained weights."""
        return weights_file(self.checkpoints, self.key("train"))

    @property
    def training(self) -> Path:
        """File of a training under way."""
        return training_file(self.checkpoints, self.key("train"))


def weights_file(checkpoints: Path, key: StageKey) -> Path:
    """Where a row's trained weights are."""
    return checkpoints / f"{key.problem}-{key.model}-seed{key.seed}.safetensors"


def training_file(checkpoints: Path, key: StageKey) -> Path:
    """Where a row's training keeps its place."""
    return checkpoints / f"{key.problem}-{key.model}-seed{key.seed}.training.safetensors"


def discard(file: Path) -> None:
    """Remove a checkpoint, and what a process that was killed while it wrote it has left."""
    file.unlink(missing_ok=True)
    remove_unfinished(file)


def keep_only_weights(checkpoints: Path, key: StageKey) -> None:
    """Remove what is left of a row's checkpoints when its training has ended, but for the trained weights."""
    discard(training_file(checkpoints, key))
    remove_unfinished(weights_file(checkpoints, key))


class Workbench:
    """Carries rows out in this process; keeps the last problem's ground truth, which its rows share."""

    def __init__(self, deliver: Deliver) -> None:
        self.deliver = deliver
        self._reference: tuple[tuple[object, ...], Reference] | None = None

    def carry_out(self, task: RowTask) -> None:
        """Do a row's due stages. What goes wrong in one is delivered as `Broke` and ends the row."""
        _Row(task, self).carry_out()

    def reference(self, task: RowTask) -> Reference:
        """What the row's problem is scored against."""

        def on_share(what: str, share: float) -> None:
            self.deliver(StageProgress(StageKey(task.problem, FLOOR, 0, "score"), what, share))

        wanted = (task.problem, task.settings, task.cache)
        if self._reference is None or self._reference[0] != wanted:
            self._reference = None  # before the next one is made: two may not fit into memory
            made = Reference(problem_by_name(task.problem), task.settings, task.cache, on_share)
            self._reference = (wanted, made)
        return self._reference[1]


class _Row:
    def __init__(self, task: RowTask, bench: Workbench) -> None:
        self.task, self.bench, self.deliver = task, bench, bench.deliver
        self._model: PosteriorModel | None = None

    def carry_out(self) -> None:
        """Do the due stages up to the first that fails."""
        task = self.task
        work = self._floor_work() if task.model == FLOOR else self._model_work()
        due = task.due
        if task.model != FLOOR and "train" not in due and self._weights_are_lost():
            due = ("train", *due)
        for stage in due:
            if not self._attempt(task.key(stage), work[stage]):
                return

    @cached_property
    def reference(self) -> Reference:
        return self.bench.reference(self.task)

    def _attempt(self, key: StageKey, work: Callable[[StageKey], StageResult]) -> bool:
        self.deliver(Began(key))
        limit_torch(self.task.settings.preset.parameters)
        started = time.monotonic()
        try:
            result = work(key)
        except StoreError:
            raise
        except (Exception, SystemExit) as error:  # a model from elsewhere may even try to leave
            self.deliver(Broke(key, one_line(error), traceback.format_exc(), time.monotonic() - started))
            return False
        self.deliver(Ended(key, result))
        return True

    def _model_work(self) -> dict[str, Callable[[StageKey], StageResult]]:
        def train(key: StageKey) -> StageResult:
            from fastinv.models import CheckpointError, save

            model = self._model = self._new_model()
            self.deliver(Described(key, stages.facts(model)))
            if not model.info.trained:  # a classical method has nothing to save
                return StageResult(0.0)
            try:
                result = stages.train(model, self.reference, key, self.task.training, self.deliver)
            except CheckpointError as error:
                self.deliver(Note(f"{key.problem} {key.model}: training from its start, for {error}"))
                self.task.training.unlink()
                model = self._model = self._new_model()
                result = stages.train(model, self.reference, key, self.task.training, self.deliver)
            save(model, self.task.weights)
            return result

        def score(key: StageKey) -> StageResult:
            model, reference = self._trained(), self.reference
            sampler = stages.model_sampler(model, reference, key.seed)
            inner = stages.inner_errors(model, reference)
            return stages.score(
                reference, key, sampler, inner, self.deliver, diagnostics=lambda: model.diagnostics
            )

        def timed(key: StageKey) -> StageResult:
            model, y = self._trained(), self.reference.y_star[:1]
            device = self.task.settings.device
            return stages.time_model(model, y, device, self.task.timing)

        return {"train": train, "score": score, "time": timed}

    def _floor_work(self) -> dict[str, Callable[[StageKey], StageResult]]:
        def score(key: StageKey) -> StageResult:
            reference = self.reference
            protocol = reference.protocol
            self.deliver(ScoredUnder(key.problem, protocol.hash, asdict(protocol)))
            independent = reference.draw_independent()
            return stages.score(reference, key, lambda block: independent[block], {}, self.deliver)

        def timed(key: StageKey) -> StageResult:
            problem, y = self.reference.problem, self.reference.y_star[:1]
            if not problem.has_exact_posterior:
                return StageResult(0.0)
            return stages.time_draws(
                lambda: problem.sample_posterior(y, stages.TIMED_SAMPLES), "cpu", self.task.timing
            )

        return {"score": score, "time": timed}

    def _new_model(self) -> PosteriorModel:
        from fastinv.models import model

        settings = self.task.settings
        return model(
            self.task.model,
            self.reference.problem,
            preset=settings.preset,
            counts=settings.counts,
            seed=self.task.seed,
            device=settings.device,
        )

    def _weights_are_lost(self) -> bool:
        """Try to read the weights that an earlier process trained."""
        from fastinv.training import CheckpointError

        try:
            self._model = self._read_model()
        except (FileNotFoundError, CheckpointError) as error:
            self.deliver(Note(f"{self.task.problem} {self.task.model}: training again, for {error}"))
            return True
        except Exception:
            return False  # the first stage meets the same error and is filed with it
        return False

    def _read_model(self) -> PosteriorModel:
        from fastinv.models import load, model_info

        if not model_info(self.task.model).trained:
            return self._new_model()
        problem, device = self.reference.problem, self.task.settings.device
        return load(self.task.weights, problem, model=self.task.model, device=device)

    def _trained(self) -> PosteriorModel:
        if self._model is None:
            self._model = self._read_model()
        return self._model


def one_line(error: BaseException) -> str:
    """An error's cause as a table shows it."""
    from fastinv.training import TrainingDivergedError

    text = " ".join(str(error).split()) or "no message"
    known = isinstance(error, TrainingDivergedError | stages.SamplesNotFiniteError | PluginError)
    return text if known else f"{type(error).__name__}: {text}"
