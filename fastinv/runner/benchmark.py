"""The benchmark itself: every row's due stages, one after the other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastinv.problems import problem as problem_by_name
from fastinv.runner import stages
from fastinv.runner.events import Note, OnEvent, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.runner.settings import BenchSettings
from fastinv.runner.truth import Reference
from fastinv.store import FLOOR, STAGES, RunWriter, StageKey, StageResult, StoreError

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended.

    Attributes:
        failed: rows that have a failed stage.
        computed: number of stages that this call carried out.
    """

    failed: tuple[StageKey, ...]
    computed: int


def run_benchmark(
    settings: BenchSettings,
    models: Sequence[str],
    store: RunWriter,
    *,
    cache: Path | None = None,
    redo: Iterable[str] = (),
    only_missing: bool = False,
    on_event: OnEvent = lambda event: None,
) -> Outcome:
    """Carry out what is due of a benchmark: per problem the floor, then train, score and time each model.

    Each stage is committed when done, so that a killed benchmark goes on where it stopped. A model that
    raises becomes a failed row, and the others go on; a later call tries it again.

    Args:
        settings: what to do, checked by `resolve_settings`.
        models: names of the models.
        store: where results go.
        cache: folder of the ground-truth cache, None for none.
        redo: models whose results are dropped first.
        only_missing: leave rows that failed before as they are.
        on_event: told of all that happens.

    Returns:
        Which rows have failed and how much was computed.

    Raises:
        StoreError: results cannot be written.
        KeyboardInterrupt: the user stopped it; what is committed stays.
    """
    return _Benchmark(settings, models, store, cache, frozenset(redo), only_missing, on_event).run()


class _Benchmark:
    def __init__(
        self,
        settings: BenchSettings,
        models: Sequence[str],
        store: RunWriter,
        cache: Path | None,
        redo: frozenset[str],
        only_missing: bool,
        on_event: OnEvent,
    ) -> None:
        self.settings, self.store, self.cache = settings, store, cache
        self.only_missing, self.on_event = only_missing, on_event
        # The floor does not depend on a training seed and is filed under seed 0.
        self.rows = [
            (problem, model, seed)
            for problem in settings.problems
            for model, seed in [(FLOOR, 0), *((m, s) for m in models for s in settings.seeds)]
        ]
        self.computed = 0
        self._drop(redo)

    def run(self) -> Outcome:
        reference: Reference | None = None
        without_truth: set[str] = set()
        for position, (problem, model, seed) in enumerate(self.rows, start=1):
            if reference is None or reference.problem.name != problem:
                reference = self._reference(problem)
            due = self._due(problem, model, seed)
            if not due or problem in without_truth:
                continue
            fine = _Row(self, reference, position, model, seed).carry_out(due)
            if model == FLOOR and not fine:
                # Training for hours what cannot be scored helps nobody.
                without_truth.add(problem)
                self.on_event(Note(f"{problem}: no model is trained, for there is no ground truth"))
        known = self.store.stages()
        wanted = {(p, m, s) for p, m, s in self.rows}
        failed = [k for k, stage in known.items() if stage.status == "failed" and k[:3] in wanted]
        return Outcome(tuple(failed), self.computed)

    def _drop(self, redo: frozenset[str]) -> None:
        rows = [row for row in self.rows if row[1] in redo]
        self.store.forget(StageKey(*row, stage) for row in rows for stage in STAGES)
        for row in rows:
            for path in _checkpoints(self.store, *row):
                path.unlink(missing_ok=True)

    def _reference(self, problem: str) -> Reference:
        def on_share(what: str, share: float) -> None:
            self.on_event(StageProgress(StageKey(problem, FLOOR, 0, "score"), what, share))

        reference = Reference(problem_by_name(problem), self.settings, self.cache, on_share)
        self.store.describe_protocol(problem, reference.protocol.hash, asdict(reference.protocol))
        return reference

    def _due(self, problem: str, model: str, seed: int) -> list[str]:
        """Stages of a row that are still to be done, in order."""
        known = self.store.stages()
        status = {s: known[k].status for s in STAGES if (k := StageKey(problem, model, seed, s)) in known}
        if self.only_missing and model != FLOOR and "failed" in status.values():
            return []
        wanted = STAGES if model != FLOOR else STAGES[1:]
        return [stage for stage in wanted if status.get(stage) != "done"]


class _Row:
    """One model (or the floor) on one problem under one seed."""

    def __init__(self, bench: _Benchmark, reference: Reference, position: int, model: str, seed: int) -> None:
        self.bench, self.store, self.reference = bench, bench.store, reference
        self.position, self.name, self.seed = position, model, seed
        self.problem = reference.problem
        self.training, self.weights = _checkpoints(self.store, self.problem.name, model, seed)
        self._model: PosteriorModel | None = None

    def carry_out(self, due: list[str]) -> bool:
        """Do the due stages; a failure ends the row. Returns whether all went well."""
        work = self._floor_work() if self.name == FLOOR else self._model_work()
        if self.name != FLOOR and "train" not in due and self._weights_are_lost():
            due = ["train", *due]
        return all(
            self._attempt(StageKey(self.problem.name, self.name, self.seed, stage), work[stage])
            for stage in due
        )

    def _attempt(self, key: StageKey, work: Callable[[StageKey], StageResult]) -> bool:
        bench = self.bench
        bench.on_event(StageStarted(key, self.position, len(bench.rows)))
        self.store.begin(key)
        started = time.monotonic()
        try:
            result = work(key)
        except StoreError:
            raise
        except Exception as error:
            line, details = _one_line(error), traceback.format_exc()
            log = self.store.fail(key, line, details, time.monotonic() - started)
            bench.on_event(StageFailed(key, line, log))
            return False
        self.store.finish(key, result)
        bench.computed += 1
        bench.on_event(StageFinished(key, result.seconds, _headline(result)))
        if key.stage == "train":
            self.training.unlink(missing_ok=True)
        return True

    def _model_work(self) -> dict[str, Callable[[StageKey], StageResult]]:
        reference, settings = self.reference, self.reference.settings

        def train(key: StageKey) -> StageResult:
            from fastinv.models import save

            model = self._new_model()
            self.store.describe_model(self.problem.name, self.name, self.seed, stages.facts(model))
            self._model = model
            if not model.info.trained:  # a classical method has nothing to save
                return StageResult(0.0)
            result = stages.train(model, reference, key, self.training, self.bench.on_event)
            save(model, self.weights)
            return result

        def score(key: StageKey) -> StageResult:
            model = self._trained()
            sampler = stages.model_sampler(model, reference, self.seed)
            return stages.score(
                reference,
                key,
                sampler,
                stages.inner_errors(model, reference),
                self.bench.on_event,
                diagnostics=lambda: model.diagnostics,
            )

        def timed(key: StageKey) -> StageResult:
            model, y = self._trained(), reference.y_star[:1]
            return stages.time_draws(lambda: model.sample(y, stages.TIMED_SAMPLES, seed=0), settings.device)

        return {"train": train, "score": score, "time": timed}

    def _floor_work(self) -> dict[str, Callable[[StageKey], StageResult]]:
        reference = self.reference

        def score(key: StageKey) -> StageResult:
            independent = reference.draw_independent()
            return stages.score(reference, key, lambda block: independent[block], {}, self.bench.on_event)

        def timed(key: StageKey) -> StageResult:
            if not self.problem.has_exact_posterior:
                return StageResult(0.0)
            y = reference.y_star[:1]
            return stages.time_draws(lambda: self.problem.sample_posterior(y, stages.TIMED_SAMPLES), "cpu")

        return {"score": score, "time": timed}

    def _new_model(self) -> PosteriorModel:
        from fastinv.models import model

        settings = self.reference.settings
        return model(
            self.name,
            self.problem,
            preset=settings.preset,
            counts=settings.counts,
            seed=self.seed,
            device=settings.device,
        )

    def _weights_are_lost(self) -> bool:
        """Try to read the weights that an earlier process trained."""
        from fastinv.models import load, model_info
        from fastinv.training import CheckpointError

        device = self.reference.settings.device
        if not model_info(self.name).trained:
            self._model = self._new_model()
            return False
        try:
            self._model = load(self.weights, self.problem, model=self.name, device=device)
        except (FileNotFoundError, CheckpointError) as error:
            self.bench.on_event(Note(f"{self.problem.name} {self.name}: training again, for {error}"))
            return True
        return False

    def _trained(self) -> PosteriorModel:
        assert self._model is not None, "carry_out trains or loads before any other stage"
        return self._model


def _checkpoints(store: RunWriter, problem: str, model: str, seed: int) -> tuple[Path, Path]:
    """Files of a training under way and of the trained weights."""
    stem = f"{problem}-{model}-seed{seed}"
    return store.checkpoints / f"{stem}.training.safetensors", store.checkpoints / f"{stem}.safetensors"


def _headline(result: StageResult) -> dict[str, float]:
    finite = {metric: values[np.isfinite(values)] for metric, values in result.scores.items()}
    return {metric: float(values.mean()) for metric, values in finite.items() if len(values)}


def _one_line(error: BaseException) -> str:
    from fastinv.training import TrainingDivergedError

    text = " ".join(str(error).split()) or "no message"
    known = isinstance(error, TrainingDivergedError | stages.SamplesNotFiniteError)
    return text if known else f"{type(error).__name__}: {text}"
