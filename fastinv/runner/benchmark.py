"""The benchmark itself: which stages of which rows are due, and in what order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastinv.runner import stages
from fastinv.runner.desk import Desk, RowKey
from fastinv.runner.engines import Engine, start_engine
from fastinv.runner.events import Note, OnEvent
from fastinv.runner.row import RowTask, discard, keep_only_weights, training_file, weights_file
from fastinv.runner.settings import BenchSettings
from fastinv.store import FLOOR, STAGES, RunWriter, StageKey


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
    jobs: int = 1,
    cluster: str | None = None,
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
        jobs: rows carried out at once, each in a process of its own if more than 1. Those processes import
            the main module, so a script that calls this needs `if __name__ == "__main__":`.
        cluster: address of a Dask scheduler whose workers carry the rows out instead.
        on_event: told of all that happens, in this thread.

    Returns:
        Which rows have failed and how much was computed.

    Raises:
        StoreError: results cannot be written.
        ClusterError: the cluster cannot be reached or has no fitting worker.
        KeyboardInterrupt: the user stopped it; what is committed stays.
    """
    plan = _Plan(settings, models, store, cache, only_missing)
    plan.drop(frozenset(redo))
    plan.tidy()
    desk = Desk(store, plan.rows, on_event)
    if any(plan.tasks(*row) for row in plan.rows):  # a finished run needs no engine to be shown
        with start_engine(settings, store, desk.deliver, jobs, cluster) as engine:
            plan.carry_out(engine, on_event)
    failed = [k for k, stage in store.stages().items() if stage.status == "failed" and k[:3] in plan.rows]
    return Outcome(tuple(failed), desk.computed)


class _Plan:
    def __init__(
        self,
        settings: BenchSettings,
        models: Sequence[str],
        store: RunWriter,
        cache: Path | None,
        only_missing: bool,
    ) -> None:
        self.settings, self.store, self.cache, self.only_missing = settings, store, cache, only_missing
        # The floor does not depend on a training seed and is filed under seed 0.
        self.rows: list[RowKey] = [
            (problem, model, seed)
            for problem in settings.problems
            for model, seed in [(FLOOR, 0), *((m, s) for m in models for s in settings.seeds)]
        ]

    def drop(self, models: frozenset[str]) -> None:
        """Forget all that the run holds of these models."""
        rows = [row for row in self.rows if row[1] in models]
        self.store.forget([StageKey(*row, stage) for row in rows for stage in STAGES])
        for row in rows:
            for file in (training_file, weights_file):
                discard(file(self.store.checkpoints, StageKey(*row, "train")))

    def tidy(self) -> None:
        """Remove what a process that was killed right after a training had ended did not come to remove."""
        for key, stage in self.store.stages().items():
            if key.stage == "train" and stage.status == "done":
                keep_only_weights(self.store.checkpoints, key)

    def carry_out(self, engine: Engine, on_event: OnEvent) -> None:
        """Do what is due; an engine that does several rows at once gets many at a time."""
        for problems in self._groups(engine):
            rows = [row for row in self.rows if row[0] in problems]
            later = ("time",) if engine.parallel else ()
            engine.run([task for row in rows if row[1] == FLOOR for task in self.tasks(*row, later)])
            blind = self._without_truth(problems)
            for problem in blind:
                # Training for hours what cannot be scored helps nobody.
                on_event(Note(f"{problem}: no model is trained, for there is no ground truth"))
            rows = [row for row in rows if row[0] not in blind]
            engine.run([task for row in rows if row[1] != FLOOR for task in self.tasks(*row, later)])
            for row in rows if later else ():
                # A latency is measured while nothing else runs.
                engine.run([task for task in self.tasks(*row) if task.due == later])

    def _groups(self, engine: Engine) -> Iterator[tuple[str, ...]]:
        """Problems that are worked on together: one after the other where one row is done at a time."""
        if engine.parallel:
            yield self.settings.problems
        else:
            yield from ((problem,) for problem in self.settings.problems)

    def _without_truth(self, problems: Sequence[str]) -> list[str]:
        known = self.store.stages()
        floors = {p: known.get(StageKey(p, FLOOR, 0, "score")) for p in problems}
        return [p for p, floor in floors.items() if floor is None or floor.status != "done"]

    def tasks(self, problem: str, model: str, seed: int, later: tuple[str, ...] = ()) -> list[RowTask]:
        """What is still to be done of a row, except the stages in `later`: one task or none."""
        known = self.store.stages()
        status = {s: known[k].status for s in STAGES if (k := StageKey(problem, model, seed, s)) in known}
        if self.only_missing and model != FLOOR and "failed" in status.values():
            return []
        wanted = STAGES if model != FLOOR else STAGES[1:]
        due = tuple(s for s in wanted if status.get(s) != "done" and s not in later)
        if not due:
            return []
        folders = self.store.checkpoints, self.cache
        return [RowTask(self.settings, problem, model, seed, due, *folders, stages.PLAN)]
