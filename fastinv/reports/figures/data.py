"""All that the figures of one problem are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastinv.posteriors import ground_truth
from fastinv.problems import Problem
from fastinv.problems import problem as problem_by_name
from fastinv.reports.figures.samples import (
    NoSamplesError,
    calibration_ranks,
    default_y_star,
    load_model,
    posterior_samples,
)
from fastinv.reports.figures.style import Look, looks
from fastinv.reports.figures.throughput import Throughput, read_throughput
from fastinv.reports.results import ProblemResult, Row
from fastinv.store import FLOOR, RunReader

FloatArray = NDArray[np.float64]

SAMPLES = 1000
TRUTH_SEED = 77
SCORES = ("err_post", "err_resim")
Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class FigureData:
    """What is drawn of one problem.

    Attributes:
        problem: the problem.
        result: its table.
        y_star: the observation whose posteriors are shown, shape (d_y,).
        truth: true posterior samples for y_star, shape (n, d_x).
        samples: each model's samples for y_star, shape (n, d_x), by name.
        ranks: calibration ranks by model, shape (N, d_x).
        scores: per-observation scores by model (the floor included) and metric, over all training seeds.
        curves: training curves of the first seed by model and name.
        looks: colour and marker by model.
        corners: models that get a corner plot.
        throughput: of the models whose inference profile the run holds, by name.
        notes: what is missing from the figures, and why.
    """

    problem: Problem
    result: ProblemResult
    y_star: FloatArray
    truth: FloatArray
    samples: Mapping[str, FloatArray]
    ranks: Mapping[str, NDArray[np.int64]]
    scores: Mapping[str, Mapping[str, FloatArray]]
    curves: Mapping[str, Mapping[str, Curve]]
    looks: Mapping[str, Look]
    corners: tuple[str, ...]
    throughput: Mapping[str, Throughput] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def y_text(self) -> str:
        """y* as people write it: a number, or several in parentheses."""
        texts = [f"{value:.4g}" for value in self.y_star]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

    @property
    def scored(self) -> list[Row]:
        """Rows that have scores, in the table's order."""
        return [row for row in self.result.rows if "err_post" in row.scores]

    def title(self, model: str) -> str:
        """A model's name as a heading, cut where it would not fit."""
        row = next((row for row in self.result.rows if row.name == model), None)
        text = row.facts.title if row is not None and row.facts is not None else model
        return text if len(text) <= 18 else text[:17] + "…"


def collect(
    run: RunReader,
    result: ProblemResult,
    *,
    y_star: Sequence[float] | None = None,
    corners: Sequence[str] | None = None,
    on_step: Callable[[str], None] = lambda what: None,
) -> FigureData:
    """Read and sample what the figures of one problem need.

    Args:
        run: the run.
        result: the problem's table; its rows are drawn.
        y_star: observation of the posterior figures; the paper's if None.
        corners: models that get a corner plot; the best one if None.
        on_step: told what is being done.

    Raises:
        UnknownNameError: the problem is not installed here.
        ValueError: y_star has a wrong shape or no posterior.
        StoreError: the run cannot be read.
    """
    problem = problem_by_name(result.problem)
    y = problem.check_observations(default_y_star(problem) if y_star is None else list(y_star))
    if len(y) != 1:
        raise ValueError(f"y_star must be one observation of {problem.dim_y} numbers")
    on_step(f"{problem.name}: true posterior")
    truth = ground_truth(problem, y, SAMPLES, TRUTH_SEED)[0]
    names = [row.name for row in result.rows]
    found = _Sampled()
    for row in result.rows:
        if row.scores:
            on_step(f"{problem.name}: samples of {row.name}")
            found.add(run, problem, row.name, y[0], result.seeds[0])
    return FigureData(
        problem=problem,
        result=result,
        y_star=y[0],
        truth=truth,
        samples=found.samples,
        ranks=found.ranks,
        scores={name: _scores(run, result, name) for name in (FLOOR, *names)},
        curves={name: run.curves(problem.name, name, result.seeds[0]) for name in names},
        looks=looks(names),
        corners=tuple(_best(result, found.samples) if corners is None else corners),
        throughput={
            name: line
            for name in names
            if (line := read_throughput(run.folder, problem.name, name)) is not None
        },
        notes=found.notes,
    )


@dataclass
class _Sampled:
    samples: dict[str, FloatArray] = field(default_factory=dict)
    ranks: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, run: RunReader, problem: Problem, name: str, y_star: FloatArray, seed: int) -> None:
        try:
            model = load_model(run, problem, name, seed)
        except NoSamplesError as error:
            self.notes.append(f"{problem.name} {name}: no samples in the figures ({error})")
            return
        samples = posterior_samples(model, y_star, SAMPLES, seed)
        if len(samples) < SAMPLES:
            lost = SAMPLES - len(samples)
            self.notes.append(f"{problem.name} {name}: {lost} of {SAMPLES} samples are not finite")
        if len(samples) >= SAMPLES // 2:
            self.samples[name] = samples
        if model.info.trained:  # a classical method needs minutes for as many observations
            self.ranks[name] = calibration_ranks(model, seed)


def _scores(run: RunReader, result: ProblemResult, name: str) -> dict[str, FloatArray]:
    seeds = (0,) if name == FLOOR else result.seeds
    per_seed = [scores for seed in seeds if (scores := run.scores(result.problem, name, seed))]
    return {
        metric: np.concatenate([scores[metric] for scores in per_seed if metric in scores])
        for metric in SCORES
        if any(metric in scores for scores in per_seed)
    }


def _best(result: ProblemResult, samples: Mapping[str, FloatArray]) -> list[str]:
    ranked = [(row.scores["err_post"].mean, row.name) for row in result.rows if row.name in samples]
    return [min(ranked)[1]] if ranked else []
