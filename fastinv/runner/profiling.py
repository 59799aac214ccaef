"""Inference profiles of a run's models: their weights, and what lower precision does to their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.posteriors import cache_folder, ground_truth
from fastinv.runner.row import weights_file
from fastinv.scoring import TRUTH_SEED, posterior_errors, resimulation_errors
from fastinv.scoring.statistics import summarise
from fastinv.store import StageKey
from fastinv.store.reader import list_runs
from fastinv.store.writer import CHECKPOINTS

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel
    from fastinv.problems import Problem
    from fastinv.timing.profile import OnPart, OnStep
    from fastinv.timing.records import Effect, Profile
    from fastinv.timing.roofline import Machine

FloatArray = NDArray[np.float64]

# Observations and samples that the effect of lower precision is estimated on.
OBSERVATIONS, SAMPLES = 100, 1000


def find_weights(folders: Sequence[Path], problem: str, model: str, seed: int) -> Path | None:
    """The first of several runs' trained weights of a model; None where no run has any."""
    key = StageKey(problem, model, seed, "train")
    found = (weights_file(folder / CHECKPOINTS, key) for folder in folders)
    return next((path for path in found if path.is_file()), None)


def runs_to_search(runs: Path, run: Path | None) -> list[Path]:
    """The run that was named, or all of them, the most recent first."""
    return [run] if run is not None else list_runs(runs)


def load_or_build(
    weights: Path | None, problem: Problem, model: str, *, preset: str, counts: str, seed: int, device: str
) -> PosteriorModel:
    """The trained model of a file, or an untrained one where there is no file."""
    import fastinv
    from fastinv.models import load

    if weights is not None:
        return load(weights, problem, model=model, device=device)
    built = fastinv.model(model, problem, preset=preset, counts=counts, seed=seed, device=device)
    return built.eval()


def profile_trained(
    model: PosteriorModel,
    *,
    modes: Sequence[str],
    batches: Sequence[int],
    trained: bool,
    machine: Machine,
    budget_s: float,
    known: Profile | None,
    on_step: OnStep,
    on_part: OnPart,
) -> Profile:
    """A model's inference profile; of a trained one with the effect of lower precision on its scores.

    Args:
        model: the model.
        modes: all of the device if empty.
        batches: batch sizes of the throughput.
        trained: whether its scores say anything.
        machine: measured limits.
        budget_s: seconds per latency of a mode at most.
        known: what an interrupted call with the same arguments handed to `on_part`.
        on_step: called with what is known so far and what comes next.
        on_part: called with the profile so far, whenever something came in.
    """
    from fastinv.timing import Plan
    from fastinv.timing.profile import profile_model

    profile = profile_model(
        model,
        modes=modes,
        batches=batches,
        plan=Plan(budget_s=budget_s),
        machine=machine,
        trained=trained,
        known=known,
        on_step=on_step,
        on_part=on_part,
    )
    if trained:
        profile = with_effects(model, profile, on_step)
        on_part(profile)
    return profile


def with_effects(model: PosteriorModel, profile: Profile, on_step: OnStep) -> Profile:
    """The profile with Err_post and Err_resim of modes in lower precision, paired with those of eager."""
    from fastinv.timing.modes import MODES
    from fastinv.timing.sampler import in_lower_precision

    rough = [
        m.mode for m in profile.modes if m.status == "ok" and not MODES[m.mode].exact and m.err_post is None
    ]
    if not rough:
        return profile
    on_step(profile.modes, "scores in lower precision")
    problem = model.problem
    y = problem.observations(OBSERVATIONS)
    truth = ground_truth(problem, y, SAMPLES, TRUTH_SEED, folder=cache_folder())

    def scores(drawn: PosteriorModel) -> tuple[FloatArray, FloatArray]:
        samples = drawn.sample(y, SAMPLES, seed=0).astype(np.float64)
        return posterior_errors(samples, truth).biased, resimulation_errors(problem, y, samples).error

    eager, effects = scores(model), {}
    for mode in rough:
        with in_lower_precision(model, mode) as drawn:
            effects[mode] = [_effect(a, b) for a, b in zip(eager, scores(drawn), strict=True)]
    modes = tuple(
        replace(m, err_post=effects[m.mode][0], err_resim=effects[m.mode][1]) if m.mode in effects else m
        for m in profile.modes
    )
    return replace(profile, modes=modes)


def _effect(eager: FloatArray, mode: FloatArray) -> Effect:
    from fastinv.timing.records import Effect

    difference = summarise(mode - eager)
    return Effect(float(np.nanmean(eager)), float(np.nanmean(mode)), difference.low, difference.high)
