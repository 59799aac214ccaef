"""Tolerance ABC for a problem: its prior and forward process as `fastinv.kernels.abc` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastinv.kernels import ABCResult
    from fastinv.problems.base import Problem

FloatArray = NDArray[np.float64]


def abc_posterior(problem: Problem, y_star: FloatArray, n: int, **options: Any) -> ABCResult:
    """Approximate posterior samples by tolerance ABC.

    Args:
        problem: prior and forward process. Draws outside its prior, and those without an observation, are
            rejected.
        y_star: checked observations, shape (B, d_y).
        n: samples per observation.
        options: see `fastinv.kernels.abc`: tolerance or nearest, scale, max_simulations, seed and more.

    Returns:
        Samples (B, n, d_x) as `x`, and a report per observation.
    """
    from fastinv.kernels import abc

    if problem.fused_simulator is not None:
        return abc(problem.fused_simulator, y_star, n, **options)

    def simulate(x: FloatArray) -> FloatArray:
        return np.where(problem._in_prior(x)[:, None], problem.simulate(x), np.nan)

    return abc(simulate, y_star, n, prior=problem._prior_from_uniforms, dim_x=problem.dim_x, **options)
