"""Approximate ground truth for problems that have a simulator but no exact posterior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fastinv.problems import Problem

FloatArray = NDArray[np.float64]

PRIOR_DRAWS = 2_000_000


def nearest_neighbour_abc(
    problem: Problem, y_star: FloatArray, n: int, seed: int = 0, *, prior_draws: int = PRIOR_DRAWS
) -> FloatArray:
    """The n prior draws whose images are nearest to each y*: ABC with the tolerance that yields n samples.

    Distances are taken with every coordinate of y divided by its standard deviation under the prior.
    All observations share the prior draws. The result is biased by the tolerance; exact samplers are not.

    Args:
        problem: prior and forward process.
        y_star: observations, shape (B, d_y).
        n: samples per observation.
        seed: seed of the prior draws.
        prior_draws: how many to choose from.

    Returns:
        float64 array of shape (B, n, d_x).

    Raises:
        ValueError: fewer usable prior draws than samples asked for.
    """
    y_star = problem.check_observations(y_star)
    x = problem.sample_prior(prior_draws, seed=seed)
    y = problem.simulate(x)
    usable = np.isfinite(y).all(axis=1)
    x, y = x[usable], y[usable]
    if len(x) < n:
        raise ValueError(f"n must be at most the number of usable prior draws, {len(x)}, got {n}")
    scale = y.std(axis=0)
    scale[scale == 0.0] = 1.0
    _, index = cKDTree(y / scale).query(y_star / scale, k=[*range(1, n + 1)], workers=-1)
    return np.asarray(x[index])
