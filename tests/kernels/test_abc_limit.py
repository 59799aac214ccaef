"""Tolerance ABC: the exact samplers are its limit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

import fastinv
from fastinv.kernels import abc


@pytest.mark.parametrize(
    ("problem", "y", "tolerance"),
    [
        ("kinematics", [[0.0, 1.5], [0.1, 1.7], [-0.4, 1.2], [0.5, 1.9]], 0.03),
        ("ballistics", [[2.0], [5.0], [9.0], [12.0]], 0.02),
    ],
)
def test_exact_samplers_are_the_limit_of_small_tolerances(
    problem: str, y: list[list[float]], tolerance: float
) -> None:
    """Two-sample tests of every coordinate at a tolerance whose bias is below the noise of 2000 samples.

    16 p-values each; the smallest of them is below 1e-5 once in 6000 seeds.
    """
    n = 2000
    exact = fastinv.problem(problem).sample_posterior(y, n, seed=1)
    near = abc(problem, y, n, tolerance=tolerance, seed=2, max_simulations=10**9).x
    for i, d in itertools.product(range(len(y)), range(4)):
        assert stats.ks_2samp(exact[i, :, d], near[i, :, d]).pvalue > 1e-5, (y[i], d)


def test_bias_shrinks_with_the_tolerance() -> None:
    """The mean square of x2 + x3 + x4 at y2 = 1.98: looser tolerances let more bent arms in."""
    y = [[0.0, 1.98]]
    want = np.square(
        fastinv.problem("kinematics").sample_posterior(y, 20_000, seed=3)[0, :, 1:].sum(-1)
    ).mean()
    errors = []
    for tolerance in (0.6, 0.2, 0.05):
        x = abc("kinematics", y, 20_000, tolerance=tolerance, seed=4, max_simulations=10**9).x[0]
        errors.append(abs(float(np.square(x[:, 1:].sum(-1)).mean()) - want))
    assert errors[0] > 2.0 * errors[1] > 4.0 * errors[2]
