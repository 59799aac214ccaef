"""Whether the exact samplers draw from the posterior: residuals, quadrature, calibration, wrapped angles.

The same at length for every back end is in test_exact_backends.py; tolerance ABC, the fifth check, in
tests/kernels; agreement of back ends in test_exact_samplers.py.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import poisson

from fastinv.problems import problem


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quadrature, exact_checks = _load("quadrature"), _load("exact_checks")
NAMES = ("kinematics", "ballistics")
HARD = {
    "kinematics": [
        [0, 1.5],
        [0, 1],
        [0, -1],
        [1.2, 1.2],
        [0, -0.5],
        [0, 1.9999],
        [2.9, 0.1],
        [1, -1.2],
        [0, 0.3],
    ],
    "ballistics": [[0.0], [-1.0], [-2.0], [20.0], [24.0], [0.5]],
}


def targets(name: str, ordinary: int) -> np.ndarray:
    return np.concatenate([problem(name).observations(ordinary), HARD[name]])


@pytest.mark.parametrize("name", NAMES)
def test_residuals_are_rounding_errors(name: str) -> None:
    y = targets(name, 200)
    x = problem(name).sample_posterior(y, 200)
    # A throw that grazes the ground on its way down meets it at a double root: there rounding is amplified.
    limit = 2e-15 if name == "kinematics" else 1e-12
    assert np.abs(problem(name).simulate(x) - y[:, None]).max() < limit


@pytest.mark.parametrize("name", NAMES)
def test_moments_agree_with_quadrature(name: str) -> None:
    """All first and second moments at 30 observations; at 5 sigma a false alarm has probability 3e-4."""
    n = 40_000
    y = targets(name, 24)
    x = problem(name).sample_posterior(y, n, seed=11)
    ballistics = quadrature.BallisticsQuadrature()
    for i, target in enumerate(y):
        if name == "kinematics":
            expected = quadrature.kinematics_moments(target)
        else:
            expected = ballistics.moments(float(target[0]))
        drawn = quadrature.moments_of(x[i])
        z = (drawn.mean(axis=0) - expected) / (drawn.std(axis=0) / np.sqrt(n))
        assert np.abs(z).max() < 5.0, target


@pytest.mark.parametrize("name", NAMES)
def test_simulation_based_calibration(name: str) -> None:
    """20,000 prior draws; the false-alarm rate is 4e-4 per problem."""
    assert min(exact_checks.calibrate(name, "auto", 20_000)["p_values"]) > 1e-4


def wrapped_angles(observations: int) -> int:
    """How many of as many joint draws of (y*, x | y*) have the outer link turned beyond pi."""
    arm = problem("kinematics")
    y = arm.simulate(arm.sample_prior(observations, seed=5))
    return int((np.abs(arm.sample_posterior(y, 1, seed=6)[:, 0, 1:].sum(axis=-1)) > np.pi).sum())


WRAPPED_SHARE = 2.86e-4  # of the prior: P(|N(0, 3/4)| > pi)


def test_the_outer_link_turns_beyond_pi_as_often_as_in_the_prior() -> None:
    """A sampler that keeps this angle within [-pi, pi] finds none. False-alarm rate 2e-5."""
    found = wrapped_angles(50_000)
    low, high = poisson.interval(1.0 - 2e-5, 50_000 * WRAPPED_SHARE)
    assert max(low, 1) <= found <= high


@pytest.mark.slow
def test_the_outer_link_turns_beyond_pi_at_length() -> None:
    """57 of 200,000 are expected; false-alarm rate 2e-5."""
    low, high = poisson.interval(1.0 - 2e-5, 200_000 * WRAPPED_SHARE)
    assert low <= wrapped_angles(200_000) <= high


@pytest.mark.parametrize("name", NAMES)
def test_a_single_observation_may_be_a_vector(name: str) -> None:
    y = problem(name).observations(1)
    np.testing.assert_array_equal(
        problem(name).sample_posterior(y[0], 5), problem(name).sample_posterior(y, 5)
    )
