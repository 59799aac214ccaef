"""Approximate ground truth for problems that have a simulator but no exact posterior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem
from fastinv.problems.abc import abc_posterior

FloatArray = NDArray[np.float64]

PRIOR_DRAWS = 2_000_000
# Draws from which the scale of each observed value is taken.
PILOT_DRAWS = 20_000


def nearest_neighbour_abc(
    problem: Problem,
    y_star: FloatArray,
    n: int,
    seed: int = 0,
    *,
    prior_draws: int = PRIOR_DRAWS,
    on_progress: Callable[[int, int], None] | None = None,
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
        on_progress: called with (draws made, draws in all) about ten times a second.

    Returns:
        float64 array of shape (B, n, d_x), nearest first.

    Raises:
        ValueError: n > prior_draws.
        ABCShortfallError: fewer usable prior draws than samples asked for.
    """
    y_star = problem.check_observations(y_star)
    pilot = problem.simulate(problem.sample_prior(PILOT_DRAWS, seed=seed))
    scale = pilot[np.isfinite(pilot).all(axis=1)].std(axis=0)
    scale[scale == 0.0] = 1.0
    report = None if on_progress is None else lambda p: on_progress(p.simulations, p.max_simulations)
    result = abc_posterior(
        problem,
        y_star,
        n,
        nearest=True,
        scale=scale,
        seed=seed,
        max_simulations=prior_draws,
        on_progress=report,
    )
    return result.x
