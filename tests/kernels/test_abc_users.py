"""Tolerance ABC: users' simulators, compiled or in batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import event
from scipy import stats

from fastinv.kernels import ABCResult, Normal, Poisson, Uniform, abc
from fastinv.kernels.rejection.abc_reference import uniforms
from fastinv.kernels.rejection.abc_sources import TRIED, CompiledSource
from fastinv.kernels.rejection.numba_cpu import abc_users

LINE = [Normal(0.0, 1.0), Uniform(-1.0, 2.0)]


@numba.njit
def line(x):
    return x[0] + x[1], x[0] - x[1]


LINE_Y = np.array([[0.5, 0.0], [0.0, 0.0], [1.0, -1.0]])


def assert_same(a: ABCResult, b: ABCResult) -> None:
    np.testing.assert_array_equal(a.accepted, b.accepted)
    np.testing.assert_array_equal(a.simulations, b.simulations)
    np.testing.assert_allclose(a.x, b.x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(a.distance, b.distance, rtol=1e-10, atol=1e-13)


@numba.njit
def prior_tuple(u):
    return 2.0 * u[0] - 1.0, u[1]


@numba.njit
def prior_array(u):
    return np.array([2.0 * u[0] - 1.0, u[1]])


def prior_batch(u: np.ndarray) -> np.ndarray:
    return np.stack([2.0 * u[:, 0] - 1.0, u[:, 1]], axis=1)


@numba.njit
def product_number(x):
    return x[0] * x[1]


@numba.njit
def product_tuple(x):
    return (x[0] * x[1],)


@numba.njit
def product_array(x):
    return x[:1] * x[1]


def product_column(x: np.ndarray) -> np.ndarray:
    return x[:, :1] * x[:, 1:]


def product_flat(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1]


def test_all_ways_to_write_a_simulator_agree() -> None:
    priors = [prior_tuple, prior_array, prior_batch, [Uniform(-1.0, 1.0), Uniform(0.0, 1.0)]]
    simulators = [product_number, product_tuple, product_array, product_column, product_flat]
    pairs = [(product_tuple, p) for p in priors] + [(s, priors[3]) for s in simulators]
    results = [abc(s, [[0.3], [-0.1]], 50, tolerance=0.01, prior=p, dim_x=2, seed=2) for s, p in pairs]
    for result in results[1:]:
        assert_same(result, results[0])
    assert np.abs(results[0].x[0].prod(-1) - 0.3).max() < 0.01


def test_torch_simulator() -> None:
    import torch

    def simulate(x: Any) -> Any:
        assert isinstance(x, torch.Tensor)
        return torch.stack([x.sum(-1), x[:, 0] - x[:, 1]], dim=-1)

    got = abc(simulate, LINE_Y, 30, tolerance=0.1, prior=LINE, device="cpu")
    assert_same(got, abc(line, LINE_Y, 30, tolerance=0.1, prior=LINE))


def test_built_in_priors_have_their_distributions() -> None:
    """Kolmogorov-Smirnov on 20,000 draws and chi-square on the count: false alarm 1e-3 each."""
    prior = [Normal(1.0, 2.0), Uniform(-1.0, 3.0), Poisson(4.0)]
    for simulator in (product_number, product_flat):
        result = abc(simulator, [[0.0]], 20_000, tolerance=1e9, prior=prior, max_simulations=20_000)
        x = result.x[0]
        assert stats.kstest(x[:, 0], stats.norm(1.0, 2.0).cdf).pvalue > 1e-3
        assert stats.kstest(x[:, 1], stats.uniform(-1.0, 4.0).cdf).pvalue > 1e-3
        counts = np.bincount(x[:, 2].astype(int), minlength=13)[:13]
        expected = stats.poisson(4.0).pmf(np.arange(13)) * len(x)
        assert (
            stats.chisquare([*counts, len(x) - counts.sum()], [*expected, len(x) - expected.sum()]).pvalue
            > 1e-3
        )


@numba.njit
def fragile(x):
    if x[0] < -0.5:
        raise ValueError("too low")
    if x[0] > 0.5:
        return np.nan
    return x[0]


def fragile_batch(x: np.ndarray) -> np.ndarray:
    if (x[:, 0] < -0.5).any():
        raise ValueError("too low")
    return np.where(x[:, :1] > 0.5, np.inf, x[:, :1])


@pytest.mark.parametrize("simulator", [fragile, fragile_batch])
def test_failing_draws_are_counted_and_rejected(simulator: Callable[..., Any]) -> None:
    result = abc(
        simulator,
        [[0.0], [-0.6]],
        3000,
        nearest=True,
        prior=[Uniform(-1.0, 1.0)],
        max_simulations=4000,
        on_shortfall="return",
    )
    u = uniforms(np.arange(4000), 1, 0)[:, 0] * 2.0 - 1.0
    assert result.raised == (u < -0.5).sum()
    assert result.not_finite == (np.abs(u) > 0.5).sum()
    assert result.accepted.tolist() == [(np.abs(u) <= 0.5).sum()] * 2
    assert "not finite" in str(result)
    assert np.nanmax(np.abs(result.x)) <= 0.5


@numba.njit
def wave(x):
    return np.sin(40.0 * x[0]) + math.cos(x[1])


@numba.njit(fastmath=True, error_model="numpy")
def with_options(x):
    return math.sin(40.0 * x[0]) + np.cos(x[1]) / 1.0


@numba.njit("float64(float64[::1])")
def with_signature(x):
    return math.sin(40.0 * x[0]) + math.cos(x[1])


@numba.njit(boundscheck=True)
def bounds_checked(x):
    return math.sin(40.0 * x[0]) + math.cos(x[1])


@numba.njit
def on_arrays(x):
    return np.sin(40.0 * x[:1]) + np.cos(x[1:2])


def test_another_prior_of_built_in_coordinates_compiles_nothing() -> None:
    abc(line, LINE_Y, 10, tolerance=1.0, prior=LINE)
    compiled = event.RecordingListener()
    with event.install_listener("numba:compile", compiled):
        abc(line, LINE_Y, 10, tolerance=1.0, prior=[Uniform(-3.0, 3.0), Poisson(2.0)])
    assert not compiled.buffer


def test_threads_that_meet_the_first_draw_that_raises_at_once_agree() -> None:
    """The loop that tells such draws apart is compiled then; until it is, whole blocks of theirs count."""

    # None of the first draws raises, on which it is tried.
    limit = uniforms(np.arange(TRIED), 1, 0).max()

    @numba.njit
    def seldom(x):
        if x[0] > limit:
            raise ValueError("too high")
        return x[0]

    source = CompiledSource(seldom, (Uniform(0.0, 1.0),), 1, 1, 0)
    assert source._run[1]
    compiled = event.RecordingListener()
    with event.install_listener("numba:compile", compiled), ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda part: source.simulate(1000 * part, 1000), range(8)))
    y = np.concatenate([y[0] for y, _ in parts])
    x = source.draw(np.arange(8000))[0][:, 0]
    np.testing.assert_array_equal(y, np.where(x > limit, np.nan, x))
    assert sum(raised for _, raised in parts) == (x > limit).sum() > 8
    assert not source._run[1]
    rows = [e for _, e in compiled.buffer if e.is_start and "over_columns" in str(e.data["dispatcher"])]
    assert len(rows) == 1


def test_the_thorough_loop_is_compiled_for_a_simulator_that_raises_alone() -> None:
    @numba.njit
    def fragile_prior(u):
        if u[0] > 0.5:
            raise ValueError("too high")
        return u[0], u[1]

    for simulator, prior, quick in (
        (line, LINE, True),
        (line, fragile_prior, True),
        (fragile, [Uniform(-1.0, 1.0)], False),
    ):
        dim_x, dim_y = (1, 1) if simulator is fragile else (2, 2)
        source = CompiledSource(simulator, prior, dim_x, dim_y, 0)
        _, raised = source.simulate(0, 1000)
        assert source._run[1] is quick
        assert (raised > 0) == (prior is not LINE)


@pytest.mark.parametrize("simulator", [wave, with_options, with_signature, bounds_checked, on_arrays])
def test_functions_compiled_into_the_loop_are_what_they_were(simulator: Any) -> None:
    source = CompiledSource(simulator, tuple(LINE), 2, 1, 0)
    inlined = abc_users.make_block(simulator) is not None
    assert inlined == (simulator not in (with_signature, bounds_checked))
    # More than a block, and a part of one.
    y, raised = source.simulate(5, 700)
    x, _ = source.draw(np.arange(5, 705))
    np.testing.assert_allclose(y[0], np.sin(40.0 * x[:, 0]) + np.cos(x[:, 1]), rtol=0.0, atol=2e-15)
    assert raised == 0


def test_a_division_by_zero_raises_as_it_did() -> None:
    """Python's error model is the default of @njit: such draws are counted, not infinite and inverted."""

    @numba.njit
    def inverse(x):
        return 1.0 / (1.0 / np.floor(2.0 * x[0]))

    result = abc(
        inverse,
        [[0.0]],
        500,
        nearest=True,
        prior=[Uniform(0.0, 1.0)],
        max_simulations=1000,
        on_shortfall="return",
    )
    below = int((uniforms(np.arange(1000), 1, 0)[:, 0] < 0.5).sum())
    assert result.raised == result.not_finite == below
    assert result.accepted[0] == min(500, 1000 - below)
