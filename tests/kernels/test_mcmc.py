"""Markov chains: agreement with the exact samplers, residuals, diagnostics, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import fastinv
from fastinv.kernels.mcmc import MCMCResult, mcmc_ballistics, mcmc_kinematics
from fastinv.kernels.mcmc.diagnostics import r_hat_and_ess
from fastinv.kernels.mcmc.numba_cpu.ballistics import _log_term, count_terms
from fastinv.kernels.rejection.numba_cpu.ballistics import Target

RUN: dict[str, Callable[..., MCMCResult]] = {"kinematics": mcmc_kinematics, "ballistics": mcmc_ballistics}
HARD = {
    "kinematics": [[0.0, 1.5], [0.0, 1.0], [0.0, 0.0], [0.0, 1.9999], [1.2, 1.2], [0.0, -1.5]],
    "ballistics": [[0.0], [-1.0], [5.0], [25.0], [40.0]],
}


def standardised(a: np.ndarray, ess: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference of means over its standard error, for samples (B, n, d) of which `ess` and all count."""
    error = np.sqrt(a.var(axis=1) / ess[:, None] + b.var(axis=1) / b.shape[1])
    return (a.mean(axis=1) - b.mean(axis=1)) / np.maximum(error, 1e-12)


@pytest.mark.parametrize("name", RUN)
def test_chains_agree_with_the_exact_sampler(name: str) -> None:
    """Means and mean squares of 100 prior observations: 800 differences that would be standard normal.

    The least effective size of any coordinate stands for all, which makes them a little smaller. |z| > 5 and
    an average per coordinate above 4.5 standard errors have a false-alarm rate below 1e-3 together.
    """
    problem = fastinv.problem(name)
    y = problem.observations(100)
    chains, exact = RUN[name](y, 1000, seed=3), problem.sample_posterior(y, 4000, seed=4)
    assert chains.r_hat.max() < 1.1
    assert chains.ess.min() > 100.0
    for moment in (np.asarray, np.square):
        z = standardised(moment(chains.x), chains.ess, moment(exact))
        assert np.abs(z).max() < 5.0
        assert (np.abs(z.mean(axis=0)) * np.sqrt(len(y)) < 4.5).all()
        assert 0.6 < np.sqrt(np.square(z).mean()) < 1.2


@pytest.mark.parametrize("name", RUN)
def test_hard_observations(name: str) -> None:
    """Named rare and degenerate observations; as above, |z| > 5 in 48 differences: 3e-5."""
    problem, y = fastinv.problem(name), np.array(HARD[name])
    chains, exact = RUN[name](y, 4000, seed=5), problem.sample_posterior(y, 4000, seed=6)
    assert np.isfinite(chains.x).all()
    assert chains.r_hat.max() < 1.1
    for moment in (np.asarray, np.square):
        assert np.abs(standardised(moment(chains.x), chains.ess, moment(exact))).max() < 5.0


@pytest.mark.parametrize("name", RUN)
def test_samples_hit_the_observation(name: str) -> None:
    problem = fastinv.problem(name)
    y = np.concatenate([problem.observations(50), HARD[name]])
    x = RUN[name](y, 50, seed=1).x
    residual = np.abs(problem.simulate(x) - y[:, None])
    assert residual.max() < 1e-12 * max(1.0, np.abs(y).max())
    if name == "ballistics":
        assert (x[..., 3] == x[..., 3].round()).all()
        assert (x[..., 3] >= 0.0).all()


@pytest.mark.parametrize("name", RUN)
def test_split_calls_and_threads_do_not_matter(name: str) -> None:
    y = fastinv.problem(name).observations(7)
    whole = RUN[name](y, 40, seed=2)
    part = RUN[name](y[3:], 40, seed=2, first_observation=3)
    np.testing.assert_array_equal(part.x, whole.x[3:])
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(RUN[name](y, 40, seed=2).x, whole.x)
    finally:
        numba.set_num_threads(threads)
    assert (RUN[name](y, 40, seed=3).x != whole.x).any()


def test_full_turns_of_a_joint_are_drawn() -> None:
    """An arm with loose joints: the share of |x4| > pi is the prior's, as in the exact sampler (5 sigma)."""
    from fastinv.kernels.rejection import Arm, sample_kinematics

    arm = Arm(sigmas=(0.25, 0.5, 0.5, 2.5))
    chains = mcmc_kinematics([[0.1, 1.0]], 8000, seed=1, arm=arm)
    exact = sample_kinematics([[0.1, 1.0]], 8000, seed=2, arm=arm)
    shares = [float((np.abs(x[0, :, 3]) > np.pi).mean()) for x in (chains.x, exact)]
    error = np.sqrt(shares[1] * (1.0 - shares[1]) * (1.0 / chains.ess[0] + 1.0 / 8000))
    assert shares[1] > 0.05
    assert abs(shares[0] - shares[1]) < 5.0 * error


@pytest.mark.parametrize("guess", [0, 5, 30, 59])
def test_counts_are_summed_over_all_that_matter(guess: int) -> None:
    rng = np.random.default_rng(guess)
    for _ in range(200):
        target = Target(rng.normal(6.0, 4.0), 1.962, 0.25, 0.8, 0.5, 1.5, 0.5, 0.157, 1.257, 15.0)
        x2, x3 = rng.normal(1.0, 0.7), rng.uniform(0.157, 1.257)
        every = np.array([_log_term(x2, x3, k, target) for k in range(60)])
        terms = np.full(60, np.nan)
        first, last, largest = count_terms(x2, x3, guess, target, terms)
        if np.isneginf(every).all():
            assert np.isneginf(largest)
            continue
        assert largest == every.max()
        want = np.logaddexp.reduce(every)
        assert np.logaddexp.reduce(terms[first:last]) == pytest.approx(want, abs=1e-9)


def test_diagnostics_of_known_processes() -> None:
    """Independent draws have R-hat 1 and all their size; AR(1) has the size (1 - r) / (1 + r)."""
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(50, 4, 500))
    r_hat, ess = r_hat_and_ess(independent)
    assert np.abs(r_hat - 1.0).max() < 0.02
    assert ess.mean() == pytest.approx(2000.0, rel=0.05)
    r = 0.8
    chain = np.empty((50, 4, 2000))
    chain[..., 0] = rng.normal(size=(50, 4)) / np.sqrt(1.0 - r * r)
    for t in range(1, 2000):
        chain[..., t] = r * chain[..., t - 1] + rng.normal(size=(50, 4))
    assert r_hat_and_ess(chain)[1].mean() == pytest.approx(8000 * (1.0 - r) / (1.0 + r), rel=0.1)


def test_diagnostics_notice_chains_that_disagree_or_drift() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 400))
    assert r_hat_and_ess(x + np.array([[0.0], [0.0], [0.0], [3.0]]))[0] > 1.4
    assert r_hat_and_ess(x + np.linspace(0.0, 4.0, 400))[0] > 1.2
    still = r_hat_and_ess(np.full((4, 400), 15.0))
    assert (float(still[0]), float(still[1])) == (1.0, 1600.0)
    assert np.isnan(r_hat_and_ess(np.zeros((4, 7)))[0])


def test_too_short_chains_are_reported() -> None:
    short = mcmc_kinematics([[0.0, 1.0]], 400, seed=1, warmup=0, thin=1)
    assert short.r_hat[0] > 1.1
    assert short.ess[0] < 60.0


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    mcmc_kinematics(np.tile([[0.0, 1.0]], (60, 1)), 500, on_progress=lambda *p: seen.append(p))
    assert len(seen) > 3
    assert seen[-1] == (60, 60)


@pytest.mark.parametrize(
    ("run", "y", "options", "error", "words"),
    [
        (mcmc_kinematics, [[0.0]], {}, ValueError, r"y must have shape \(B, 2\)"),
        (mcmc_kinematics, [[0.0, 1.0], [0.0, np.nan]], {}, ValueError, "finite; observation 1"),
        (mcmc_kinematics, [[0.0, 1.0], [0.0, 2.1]], {}, ValueError, "no posterior for observation 1"),
        (mcmc_ballistics, [[1e4]], {}, ValueError, "too far"),
        (mcmc_ballistics, [[1.0]], {"n": 0}, ValueError, "n must be in"),
        (mcmc_ballistics, [[1.0]], {"chains": 1}, ValueError, r"chains must be in \[2"),
        (mcmc_ballistics, [[1.0]], {"thin": 1.5}, TypeError, "thin must be an integer"),
        (mcmc_ballistics, [[1.0]], {"warmup": -1}, ValueError, "warmup must be in"),
        (mcmc_ballistics, [[1.0]], {"seed": -1}, ValueError, "seed must be in"),
    ],
)
def test_bad_input_is_named(
    run: Callable[..., MCMCResult], y: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(y, **{"n": 10, **options})
