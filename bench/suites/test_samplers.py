"""Speed of priors, forward processes, exact samplers and tolerance ABC."""

from __future__ import annotations

import numpy as np
import pytest
from tracking.fixture import Tracked

import fastinv
from fastinv.kernels import abc, available_backends
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


@pytest.mark.parametrize("name", PROBLEMS)
def test_forward_process(tracked: Tracked, name: str) -> None:
    problem = fastinv.problem(name)
    x = problem.sample_prior(50_000, seed=0)
    np.testing.assert_array_equal(problem.simulate(x)[:10], problem.simulate(x[:10]))
    tracked(lambda: problem.simulate(x), yardstick="memory")


@pytest.mark.parametrize("backend", CPU)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("case", ["prior", "hard"])
def test_exact_posterior(tracked: Tracked, case: str, name: str, backend: str) -> None:
    problem = fastinv.problem(name)
    y = problem.observations(50) if case == "prior" else np.array(HARD[name])

    def call() -> np.ndarray:
        return SAMPLERS[name](y, 1000, seed=0, backend=backend)

    residual = problem.simulate(call()) - y[:, None]
    assert np.abs(residual).max() < 1e-9
    tracked(call)


@pytest.mark.parametrize("mode", ["tolerance", "nearest"])
def test_abc(tracked: Tracked, mode: str) -> None:
    problem = fastinv.problem("kinematics")
    y = problem.observations(200)
    how = {"tolerance": 0.05} if mode == "tolerance" else {"nearest": True}

    def call() -> np.ndarray:
        return abc("kinematics", y, 10, max_simulations=200_000, on_shortfall="return", **how).x

    found = call()
    distance = np.linalg.norm(problem.simulate(found) - y[:, None], axis=-1)
    assert np.nanmax(distance) < (0.05 + 1e-9 if mode == "tolerance" else 2.0)
    tracked(call)
