"""Problems without an exact sampler: ABC on request, in batches or fused."""

from __future__ import annotations

import numpy as np
import pytest

import fastinv
from fastinv.kernels import ABCShortfallError
from fastinv.posteriors import nearest_neighbour_abc
from fastinv.problems import NoPosteriorError
from fastinv.problems.abc import abc_posterior
from fastinv.problems.ballistics import Ballistics


class BatchBallistics(Ballistics):
    fused_simulator = None


def test_abc_is_used_only_when_asked_for() -> None:
    problem = fastinv.problem("ballistics-2021code")
    y = problem.observations(3)
    with pytest.raises(NotImplementedError, match="pass a tolerance"):
        problem.sample_posterior(y, 10)
    x = problem.sample_posterior(y, 10, seed=4, tolerance=0.2)
    assert x.shape == (3, 10, 4)
    assert np.abs(problem.simulate(x) - y[:, None]).max() < 0.2
    np.testing.assert_array_equal(x, problem.sample_posterior(y, 10, seed=4, tolerance=0.2))
    assert (x[..., 1] >= 0.0).all()


def test_a_tolerance_gives_abc_for_exact_problems_too() -> None:
    problem = fastinv.problem("kinematics")
    y = np.array([[0.1, 1.7]])
    x = problem.sample_posterior(y, 50, tolerance=0.05)
    distance = np.linalg.norm(problem.simulate(x) - y[:, None], axis=-1)
    assert 1e-4 < distance.max() < 0.05
    with pytest.raises(NoPosteriorError, match="observation 0"):
        problem.sample_posterior([[0.0, 2.5]], 50, tolerance=0.05)
    with pytest.raises(ValueError, match="tolerance must be a positive"):
        problem.sample_posterior(y, 50, tolerance=0.0)


def test_batches_agree_with_the_fused_loop_in_distribution() -> None:
    """Means of 2000 samples, standard errors below 2%: eight comparisons at five sigma."""
    y = np.array([[5.0], [9.0]])
    fused = Ballistics().sample_posterior(y, 2000, seed=1, tolerance=0.05)
    batch = BatchBallistics().sample_posterior(y, 2000, seed=2, tolerance=0.05)
    error = np.sqrt((fused.var(axis=1) + batch.var(axis=1)) / 2000)
    assert (np.abs(fused.mean(axis=1) - batch.mean(axis=1)) < 5.0 * error).all()


def test_nearest_neighbours_are_near_in_units_of_the_prior() -> None:
    problem = fastinv.problem("ballistics-2021code")
    y = problem.observations(20)
    seen = []
    x = nearest_neighbour_abc(problem, y, 30, prior_draws=20_000, on_progress=lambda *p: seen.append(p))
    assert x.shape == (20, 30, 4)
    distance = np.abs(problem.simulate(x) - y[:, None])[..., 0]
    assert (np.diff(distance, axis=1) >= 0.0).all()
    assert np.median(distance) < 0.05
    assert seen[-1] == (20_000, 20_000)
    with pytest.raises(ValueError, match="n must be at most max_simulations"):
        nearest_neighbour_abc(problem, y, 30, prior_draws=20)


def test_unusable_draws_are_reported() -> None:
    class Nothing(BatchBallistics):
        def simulate(self, x):
            return np.full((*x.shape[:-1], 1), np.nan)

    with pytest.raises(ABCShortfallError, match="not finite"):
        abc_posterior(Nothing(), np.array([[5.0]]), 10, tolerance=1e6, max_simulations=10_000)
