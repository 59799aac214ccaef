"""Whether an exact sampler is calibrated: simulation-based calibration (Talts et al., 2018).

If x* is drawn from the prior and y = f(x*), then x* is one more draw from p(x | y). So its rank among the
sampler's draws is uniform, for every coordinate and every other function of x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest

from fastinv.problems import Problem

OBSERVATIONS, SAMPLES = 1000, 63


def rank_p_values(problem: Problem) -> dict[str, float]:
    """p-values of the hypothesis that ranks are uniform, by coordinate, and for the prior's log-density.

    Everything is drawn with fixed seeds. Of a sampler whose distribution function is off by 0.09 somewhere,
    a p-value below 1e-6 is to be expected.
    """
    x_star = problem.sample_prior(OBSERVATIONS, seed=31)
    x = problem.sample_posterior(problem.simulate(x_star), SAMPLES, seed=32)
    statistics = {c.name: (x_star[:, i], x[..., i]) for i, c in enumerate(problem.parameters)}
    statistics["log_prior"] = (problem.log_prior(x_star), problem.log_prior(x))
    return {name: _p_value(one, many) for name, (one, many) in statistics.items()}


def _p_value(one: NDArray[np.float64], many: NDArray[np.float64]) -> float:
    """Of the ranks of `one`, shape (B,), in `many`, shape (B, n); ties, as in counts, are broken by lot."""
    below = (many < one[:, None]).sum(1)
    ties = (many == one[:, None]).sum(1)
    uniform = np.random.default_rng(33).uniform(size=len(one))
    ranks = (below + uniform * (ties + 1)) / (many.shape[1] + 1)
    return float(kstest(ranks, "uniform").pvalue)
