"""Samples that figures show: drawn from a run's checkpoints with the run's seed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem
from fastinv.store import RunReader

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# What the challenging observation of the paper's figures is; others show the first published observation.
Y_STAR = {"kinematics": (0.0, 1.5), "ballistics": (5.0,), "ballistics-2021code": (5.0,)}
# Observations of the calibration come from the prior, apart from those that are scored.
CALIBRATION_SEED = 2708
CALIBRATION_OBSERVATIONS = 400
CALIBRATION_SAMPLES = 99
_PLAIN = re.compile(r"[A-Za-z0-9][\w.+-]*")


class NoSamplesError(RuntimeError):
    """A model's checkpoint cannot be read; the message says why."""


def default_y_star(problem: Problem) -> FloatArray:
    """The observation that figures show, shape (d_y,)."""
    known = Y_STAR.get(problem.name)
    return np.array(known) if known is not None else problem.observations(1)[0]


def load_model(run: RunReader, problem: Problem, model: str, seed: int) -> PosteriorModel:
    """A trained model of a run, on the CPU.

    Raises:
        NoSamplesError: there is no checkpoint, or it is damaged.
    """
    from fastinv.models import load, model_info
    from fastinv.models import model as new_model
    from fastinv.names import UnknownNameError

    # Names are from a file that may come from elsewhere: none of them may lead out of the run's folder.
    if not all(_PLAIN.fullmatch(name) for name in (problem.name, model)):
        raise NoSamplesError(f"{model!r} is no name of a checkpoint")
    path = run.folder / "checkpoints" / f"{problem.name}-{model}-seed{seed}.safetensors"
    try:
        if not model_info(model).trained:
            return new_model(model, problem, counts=run.settings["counts"], seed=seed)
        return load(path, problem, model=model)
    except (UnknownNameError, OSError, ValueError) as error:
        raise NoSamplesError(_without_folder(str(error), path.parent)) from error


def _without_folder(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/", "")


def posterior_samples(model: PosteriorModel, y_star: FloatArray, n: int, seed: int) -> FloatArray:
    """Finite samples of a model for one observation, shape (at most n, d_x)."""
    x = np.asarray(model.sample(y_star[None], n, seed=seed)[0], dtype=np.float64)
    return x[np.isfinite(x).all(axis=1)]


def calibration_ranks(model: PosteriorModel, seed: int) -> IntArray:
    """Ranks of true parameters among posterior samples: simulation-based calibration.

    Args:
        model: what is calibrated.
        seed: of the samples.

    Returns:
        Shape (400, d_x): for each prior draw x and y = f(x), how many of 99 samples of p(x | y) lie below
        x in each coordinate. A calibrated model's ranks are uniform on 0 ... 99; ties (of counts) are broken
        at random.

    Source: Talts et al. (2018), *Validating Bayesian inference algorithms with simulation-based calibration*.
    """
    problem = model.problem
    x = problem.sample_prior(CALIBRATION_OBSERVATIONS, seed=CALIBRATION_SEED)
    samples = model.sample(problem.simulate(x), CALIBRATION_SAMPLES, seed=seed)
    return ranks(x, np.asarray(samples, dtype=np.float64), np.random.default_rng(CALIBRATION_SEED))


def ranks(x: FloatArray, samples: FloatArray, rng: np.random.Generator) -> IntArray:
    """How many of the samples lie below x, ties broken at random.

    Args:
        x: shape (N, d).
        samples: shape (N, L, d).
        rng: for the ties.

    Returns:
        Shape (N, d), each in 0 ... L.

    Examples:
        >>> ranks(np.array([[0.5]]), np.array([[[0.1], [0.2], [0.9]]]), np.random.default_rng(0)).tolist()
        [[2]]
    """
    below = (samples < x[:, None]).sum(axis=1)
    ties = (samples == x[:, None]).sum(axis=1)
    return np.asarray(below + rng.integers(0, ties + 1), dtype=np.int64)
