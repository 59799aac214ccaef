"""Tolerance ABC: elementary functions and fused simulations against the reference."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from fastinv.kernels.rejection import Arm, Throw
from fastinv.kernels.rejection.abc_reference import draw_ballistics, draw_kinematics
from fastinv.kernels.rejection.abc_sources import BallisticsSource, KinematicsSource
from fastinv.kernels.rejection.numba_cpu import abc_double, abc_math


def test_normal32_error_is_within_its_bound() -> None:
    """Every 4093rd word, both ends, and the middle, where the sign changes."""
    words = np.arange(0, 2**32, 4093, dtype=np.uint64)
    edges = np.arange(4096, dtype=np.uint64)
    words = np.concatenate([words, edges, 2**32 - 1 - edges, 2**31 - 2048 + edges]).astype(np.uint32)

    @numba.njit
    def run(words, out, exact):
        for i in range(len(words)):
            out[i] = abc_math.normal32(words[i])
            exact[i] = abc_math.normal64((words[i] + 0.5) * 2.0**-32)

    out, exact = np.empty(len(words), np.float32), np.empty(len(words))
    run(words, out, exact)
    assert np.abs(out - exact).max() < abc_math.NORMAL32_ERROR
    u = (words + 0.5) * 2.0**-32
    np.testing.assert_allclose(exact, stats.norm.ppf(u), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("first", [0, 2**32 - 1000, 2**40])
@pytest.mark.parametrize(
    "problem",
    [
        Arm(),
        Arm((0.3, 0.9, 2.0), (1.0, 2.0, 0.1, 3.0)),
        Throw(),
        Throw(angle_min=0.01, angle_max=1.5, rate=40.0),
        Throw(x2_mean=0.0, rate=2.0),
    ],
    ids=str,
)
def test_fused_simulations_are_the_reference(problem: Arm | Throw, first: int) -> None:
    count, seed = 5000, 7
    source: Any = (KinematicsSource if isinstance(problem, Arm) else BallisticsSource)(problem, seed)
    number = np.arange(first, first + count)
    x, y = source.draw(number)
    reference = draw_kinematics if isinstance(problem, Arm) else draw_ballistics
    want_x, want_y = reference(number, problem, seed)
    np.testing.assert_allclose(x, want_x, rtol=1e-13, atol=1e-14)
    # A throw that grazes the ground amplifies rounding.
    np.testing.assert_allclose(y, want_y, rtol=1e-9, atol=1e-9)
    screened, raised = source.simulate(first, count)
    assert screened.dtype == np.float32
    assert raised == 0
    np.testing.assert_array_equal(np.isnan(screened.T), np.isnan(y))
    assert np.nanmax(np.abs(screened.T - y) / source.error) < 1.0


def test_double_functions_are_the_library_s() -> None:
    """Up to where float64 resolves a turn; beyond, NaN rather than noise."""
    x = np.concatenate([np.linspace(-50.0, 50.0, 40_001), np.geomspace(1e-300, 1e9, 20_000), [0.0, -0.0]])
    run = numba.njit(lambda x: [(abc_double.sin(v), abc_double.cos(v)) for v in x])
    got = np.array(run(x))
    np.testing.assert_allclose(got, np.stack([np.sin(x), np.cos(x)], axis=1), rtol=0.0, atol=5e-16)
    assert np.isnan(run(np.array([np.nan, np.inf, -np.inf, 2e15]))).all()


def test_normals_are_the_quantiles() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.random(50_000), [2.0**-53, 1e-11, 1.4e-11, 0.075, 0.925, 0.5, 1.0 - 2.0**-53]])
    out = np.empty_like(p)
    abc_double.normals(p, -1.0, 2.0, out)
    want = np.array([-1.0 + 2.0 * abc_math.normal64(v) for v in p])
    np.testing.assert_allclose(out, want, rtol=2e-14, atol=1e-15)
