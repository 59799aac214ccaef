"""The results of a run, put together from its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.models.registry import BUILT_IN
from fastinv.scoring.statistics import Summary, clamp_outliers, summarise
from fastinv.store import FLOOR, IN_MODE, STAGES, ModelFacts, RunReader, Stage, StageKey

FloatArray = NDArray[np.float64]

# Clamping is meant for errors, which may be huge; a share or an unbiased estimate has no such tail.
_CLAMPED = ("err_post", "err_post_4000", "err_resim")


@dataclass(frozen=True)
class Row:
    """One model's results on one problem, over one or several training seeds.

    Attributes:
        name: the model's name, or "floor".
        status: "ok", "failed" (under at least one seed) or "skipped" (not finished).
        error: one line, for a failed row.
        log: file with the whole error.
        facts: what is known of the model, None before it was built and for the floor.
        scores: summaries by metric.
        inference_ms: median milliseconds to draw 1000 samples for one y*, None if not measured.
        modes_ms: milliseconds of the drawing alone, by execution mode.
        training_s: seconds of training, the mean over seeds; None if not trained.
        worst_r_hat: largest R-hat of any observation, None for a row without chains.
        least_ess: least effective sample size of any observation, likewise.
    """

    name: str
    status: str
    error: str | None = None
    log: str | None = None
    facts: ModelFacts | None = None
    scores: Mapping[str, Summary] = field(default_factory=dict)
    inference_ms: float | None = None
    training_s: float | None = None
    modes_ms: Mapping[str, float] = field(default_factory=dict)
    worst_r_hat: float | None = None
    least_ess: float | None = None

    @property
    def baseline(self) -> bool:
        """Whether it is not a trained model, and hence not ranked among them: it has no parameters."""
        return self.facts is not None and self.facts.parameters == 0


@dataclass(frozen=True)
class ProblemResult:
    """All rows of one problem under one protocol.

    Attributes:
        problem: the problem's name.
        preset: the preset's name.
        seeds: the training seeds that the rows cover.
        counts: treatment of counts that was asked for.
        has_counts: whether the problem has a count to treat.
        kernel: MMD kernel.
        observations: number of observations.
        samples: posterior samples per observation.
        protocol: hash of the protocol, empty before scoring began.
        clamped: whether outliers were clamped before the summaries.
        floor: ground truth against an independent ground truth.
        rows: the models.
        provenance: what made the numbers.
    """

    problem: str
    preset: str
    seeds: tuple[int, ...]
    counts: str
    has_counts: bool
    kernel: str
    observations: int
    samples: int
    protocol: str
    clamped: bool
    floor: Row
    rows: tuple[Row, ...]
    provenance: Mapping[str, Any]


def load_results(
    run: RunReader,
    *,
    models: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    clamp: bool = False,
) -> list[ProblemResult]:
    """Results of a run, one per problem.

    Args:
        run: the run.
        models: which rows, in this order; None for all that the run knows, in the registry's order,
            then strangers' in the order they were begun.
        seeds: training seeds to pool; None for all of the run's.
        clamp: clamp outliers before averaging, see `fastinv.scoring.clamp_outliers`.

    Raises:
        StoreError: the run cannot be read.
    """
    settings, stages, facts = run.settings, run.stages(), run.models()
    wanted = tuple(settings["seeds"]) if seeds is None else tuple(seeds)
    provenance = run.provenance
    places = {name: place for place, name in enumerate(BUILT_IN)}
    results = []
    for problem in settings["problems"]:
        begun = dict.fromkeys(k.model for k in stages if k.problem == problem and k.model != FLOOR)
        known = sorted(begun, key=lambda name: places.get(name, len(places)))
        loader = _Loader(run, problem, stages, facts, clamp)
        protocol = run.protocol(problem)
        results.append(
            ProblemResult(
                problem=problem,
                preset=settings["preset"]["name"],
                seeds=wanted,
                counts=settings["counts"],
                has_counts=protocol is not None and protocol[1].get("counts") is not None,
                kernel=settings["kernel"],
                observations=settings["preset"]["observations"],
                samples=settings["preset"]["samples"],
                protocol=protocol[0] if protocol else "",
                clamped=clamp,
                floor=loader.row(FLOOR, (0,)),
                rows=tuple(loader.row(name, wanted) for name in (known if models is None else models)),
                provenance=provenance,
            )
        )
    return results


@dataclass(frozen=True)
class _Loader:
    run: RunReader
    problem: str
    stages: Mapping[StageKey, Stage]
    facts: Mapping[tuple[str, str, int], ModelFacts]
    clamp: bool

    def row(self, name: str, seeds: Sequence[int]) -> Row:
        failed = [s for seed in seeds for s in self._stages(name, seed) if s.status == "failed"]
        finished = [seed for seed in seeds if self._is_done(name, seed)]
        status = "failed" if failed else "ok" if len(finished) == len(seeds) else "skipped"
        error = failed[0].error if failed else None
        if failed and len(seeds) > 1:
            error = f"seed {failed[0].key.seed}: {error}"
        timings = self._timings(name, seeds)
        trained = [
            s.seconds
            for seed in seeds
            for s in self._stages(name, seed)
            if s.key.stage == "train" and s.status == "done"
        ]
        return Row(
            name=name,
            status=status,
            error=error,
            log=str(self.run.folder / failed[0].log) if failed and failed[0].log else None,
            facts=next((f for seed in seeds if (f := self.facts.get((self.problem, name, seed)))), None),
            scores=self._summaries(name, seeds),
            inference_ms=next((ms for what, ms in timings.items() if IN_MODE not in what), None),
            modes_ms={what.partition(IN_MODE)[2]: ms for what, ms in timings.items() if IN_MODE in what},
            training_s=float(np.mean(trained)) if trained else None,
            worst_r_hat=self._extreme(name, seeds, "r_hat", np.max),
            least_ess=self._extreme(name, seeds, "ess", np.min),
        )

    def _stages(self, name: str, seed: int) -> list[Stage]:
        keys = (StageKey(self.problem, name, seed, stage) for stage in STAGES)
        return [self.stages[key] for key in keys if key in self.stages]

    def _timings(self, name: str, seeds: Sequence[int]) -> dict[str, float]:
        """Milliseconds by what was timed: the median over seeds."""
        found: dict[str, list[float]] = {}
        for seed in seeds:
            for what, timing in self.run.timings(self.problem, name, seed).items():
                found.setdefault(what, []).append(timing.median_ms)
        return {what: float(np.median(values)) for what, values in found.items()}

    def _is_done(self, name: str, seed: int) -> bool:
        expected = len(STAGES) - (name == FLOOR)
        return [s.status for s in self._stages(name, seed)] == ["done"] * expected

    def _extreme(
        self, name: str, seeds: Sequence[int], metric: str, of: Callable[[FloatArray], Any]
    ) -> float | None:
        values = [s[metric] for seed in seeds if metric in (s := self.run.scores(self.problem, name, seed))]
        return float(of(np.concatenate(values))) if values else None

    def _summaries(self, name: str, seeds: Sequence[int]) -> dict[str, Summary]:
        per_seed = [scores for seed in seeds if (scores := self.run.scores(self.problem, name, seed))]
        summaries = {}
        for metric in per_seed[0] if per_seed else ():
            values: FloatArray = np.stack([scores[metric] for scores in per_seed])
            if self.clamp and metric in _CLAMPED:
                values = clamp_outliers(values)
            summaries[metric] = summarise(values if len(values) > 1 else values[0])
        return summaries
