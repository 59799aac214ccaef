"""Speed of priors, forward processes, exact samplers, ABC and Markov chains."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import torch
from tracking.fixture import Tracked

import fastinv
from fastinv.kernels import Normal, abc, available_backends
from fastinv.kernels.mcmc import mcmc_kinematics
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics

CPU = [name for name in ("native", "numba") if available_backends()[name].available]
PROBLEMS = ("kinematics", "ballistics")
SAMPLERS = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
HARD = {"kinematics": [[0.0, 1.5]], "ballistics": [[24.0]]}


@pytest.mark.parametrize("name", PROBLEMS)
def test_prior(tracked: Tracked, name: str) -> None:
    problem = fastinv.problem(name)
    assert np.isfinite(problem.log_prior(problem.sample_prior(1000, seed=0))).all()
    tracked(lambda: problem.sample_prior(50_000, seed=0), yardstick="memory")


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize("rows", [1000, 50_000])
@pytest.mark.parametrize("name", PROBLEMS)
def test_forward_process(tracked: Tracked, name: str, rows: int, arrays: str) -> None:
    problem = fastinv.problem(name)
    x: Any = problem.sample_prior(rows, seed=0)
    expected = np.asarray(problem.simulate(x))
    if arrays == "torch":
        torch.set_num_threads(1)
        x = torch.from_numpy(x)
    np.testing.assert_allclose(problem.simulate(x), expected, rtol=1e-9, atol=1e-12)
    tracked(lambda: problem.simulate(x), yardstick="core")


@pytest.mark.parametrize("backend", CPU)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("case", ["prior", "hard"])
def test_exact_posterior(tracked: Tracked, case: str, name: str, backend: str) -> None:
    y = fastinv.problem(name).observations(50) if case == "prior" else np.array(HARD[name])
    exact_posterior(tracked, name, y, 1000, backend)


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_posterior_many(tracked: Tracked, name: str) -> None:
    exact_posterior(tracked, name, fastinv.problem(name).observations(1000), 100, CPU[0])


def exact_posterior(tracked: Tracked, name: str, y: np.ndarray, n: int, backend: str) -> None:
    """Samples that meet their observations, and the times of drawing them."""

    def call() -> np.ndarray:
        return SAMPLERS[name](y, n, seed=0, backend=backend)

    residual = fastinv.problem(name).simulate(call()) - y[:, None]
    assert np.abs(residual).max() < 1e-9
    tracked(call, yardstick="threads")


@numba.njit
def line(x):  # type: ignore[no-untyped-def]
    """A user's simulator."""
    return x[0] + 2.0 * x[1], x[0] - x[1]


@pytest.mark.parametrize("mode", ["tolerance", "nearest"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_abc(tracked: Tracked, name: str, mode: str) -> None:
    problem = fastinv.problem(name)
    y = problem.observations(200)
    tolerance = 0.05 if name == "kinematics" else 0.5
    how: dict[str, Any] = {"tolerance": tolerance} if mode == "tolerance" else {"nearest": True}

    def call() -> np.ndarray:
        return abc(name, y, 10, max_simulations=200_000, on_shortfall="return", **how).x

    distance = np.linalg.norm(problem.simulate(call()) - y[:, None], axis=-1)
    assert np.nanmedian(distance) < tolerance
    if mode == "tolerance":
        assert np.nanmax(distance) < tolerance + 1e-9
    tracked(call, yardstick="threads")


def test_abc_users_simulator(tracked: Tracked) -> None:
    y, prior = np.random.default_rng(0).normal(size=(50, 2)), [Normal(0.0, 1.0)] * 2

    def call() -> np.ndarray:
        found = abc(line, y, 10, prior=prior, tolerance=0.05, max_simulations=200_000, on_shortfall="return")
        return found.x

    x = call()
    image = np.stack([x[..., 0] + 2.0 * x[..., 1], x[..., 0] - x[..., 1]], axis=-1)
    assert np.nanmax(np.linalg.norm(image - y[:, None], axis=-1)) < 0.05 + 1e-9
    tracked(call, yardstick="threads")


def test_chains(tracked: Tracked) -> None:
    y = fastinv.problem("kinematics").observations(8)

    def call() -> np.ndarray:
        return mcmc_kinematics(y, 100, seed=0).x

    assert np.abs(fastinv.problem("kinematics").simulate(call()) - y[:, None]).max() < 1e-9
    tracked(call, yardstick="threads")
