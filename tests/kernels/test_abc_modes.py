"""Tolerance ABC: both modes against brute force."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from fastinv.kernels import ABCResult, Normal, Uniform, abc
from fastinv.kernels.rejection import Arm, abc_call, abc_nearest, abc_rounds
from fastinv.kernels.rejection.abc_reference import draw_kinematics, uniforms

KINEMATICS = np.array([[0.0, 1.5], [0.1, 1.6], [-0.2, 1.9], [0.0, 1.9999], [0.4, 0.5], [8.0, 0.0]])
BALLISTICS = np.array([[5.0], [0.0], [12.0], [-1.0], [40.0]])
LINE = [Normal(0.0, 1.0), Uniform(-1.0, 2.0)]


@numba.njit
def line(x):
    return x[0] + x[1], x[0] - x[1]


def line_batch(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], axis=1)


LINE_Y = np.array([[0.5, 0.0], [0.0, 0.0], [1.0, -1.0]])


def assert_same(a: ABCResult, b: ABCResult) -> None:
    np.testing.assert_array_equal(a.accepted, b.accepted)
    np.testing.assert_array_equal(a.simulations, b.simulations)
    np.testing.assert_allclose(a.x, b.x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(a.distance, b.distance, rtol=1e-10, atol=1e-13)


CASES: dict[str, tuple[Any, np.ndarray, dict[str, Any]]] = {
    "kinematics": ("kinematics", KINEMATICS, {}),
    "kinematics scaled": ("kinematics", KINEMATICS, {"scale": [0.3, 2.0]}),
    "ballistics": ("ballistics", BALLISTICS, {}),
    "compiled": (line, LINE_Y, {"prior": LINE}),
    "batch": (line_batch, LINE_Y, {"prior": LINE}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "mode", [{"tolerance": 0.05}, {"tolerance": 1e-3}, {"tolerance": 3.0}, {"nearest": True}], ids=str
)
def test_numba_is_brute_force(case: str, mode: dict[str, Any]) -> None:
    simulator, y, options = CASES[case]
    for n, budget in [(40, 30_000), (1, 5_000), (5_000, 6_000)]:
        common = {**mode, **options, "max_simulations": budget, "seed": 11, "on_shortfall": "return"}
        got = abc(simulator, y, n, **common, backend="numba")
        assert_same(got, abc(simulator, y, n, **common, backend="reference"))
        there = np.arange(n) < got.accepted[:, None]
        assert np.isnan(got.x[~there]).all()
        assert np.isfinite(got.x[there]).all()


def test_accepted_are_the_first_within_the_tolerance() -> None:
    x, y = draw_kinematics(np.arange(60_000), Arm(), 5)
    result = abc("kinematics", KINEMATICS[:3], 8, tolerance=0.1, seed=5, max_simulations=60_000)
    for i, y_star in enumerate(KINEMATICS[:3]):
        within = np.flatnonzero(np.linalg.norm(y - y_star, axis=1) < 0.1)[:8]
        np.testing.assert_allclose(result.x[i], x[within], rtol=1e-12)
        assert result.simulations[i] == within[-1] + 1
    assert result.total_simulations >= result.simulations.max()


def test_nearest_are_the_nearest() -> None:
    x, y = draw_kinematics(np.arange(50_000), Arm(), 5)
    result = abc("kinematics", KINEMATICS, 100, nearest=True, seed=5, max_simulations=50_000)
    for i, y_star in enumerate(KINEMATICS):
        order = np.argsort(np.linalg.norm(y - y_star, axis=1))[:100]
        np.testing.assert_allclose(result.x[i], x[order], rtol=1e-12)
    np.testing.assert_array_equal(result.tolerance, result.distance[:, -1])


def test_ties_go_to_the_earliest() -> None:
    """A simulator with five outcomes: far more ties than a buffer holds."""

    @numba.njit
    def coarse(x):
        return np.floor(5.0 * x[0])

    y, options = np.array([[2.0], [4.4]]), {"prior": [Uniform(0.0, 1.0)], "nearest": True}
    for n in (1, 10, 700):
        runs = [abc(coarse, y, n, max_simulations=4000, backend=b, **options) for b in ("numba", "reference")]
        assert_same(*runs)
        u = uniforms(np.arange(4000), 1, 0)[:, 0]
        np.testing.assert_array_equal(runs[0].x[0, :, 0], u[np.floor(5.0 * u) == 2.0][:n])


@pytest.mark.parametrize("mode", [{"tolerance": 0.1}, {"nearest": True}], ids=str)
def test_threads_and_batches_do_not_matter(mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**options: Any) -> ABCResult:
        return abc("kinematics", KINEMATICS[1:4], 60, max_simulations=100_000, **mode, **options)

    want = run()
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_same(run(batch_size=777), want)
    finally:
        numba.set_num_threads(threads)
    monkeypatch.setattr(abc_rounds, "FIRST_ROUND", 13)
    monkeypatch.setattr(abc_rounds, "MAX_CHUNK", 101)
    assert_same(run(), want)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_any_dimension_of_y(dim: int) -> None:
    def simulate(x: np.ndarray) -> np.ndarray:
        return np.cumsum(x, axis=1)

    rng = np.random.default_rng(dim)
    y, prior = rng.normal(size=(30, dim)), [Normal(0.0, 1.0)] * dim
    for mode in ({"tolerance": 0.8}, {"nearest": True}):
        options = {"prior": prior, "max_simulations": 20_000, "on_shortfall": "return", **mode}
        assert_same(abc(simulate, y, 20, **options), abc(simulate, y, 20, backend="reference", **options))


def test_observations_far_apart_and_far_out() -> None:
    """Grids over a huge range, with repeated observations and far from the origin."""

    def shifted(x: np.ndarray) -> np.ndarray:
        return 1e9 + x

    prior = [Uniform(0.0, 1e6), Uniform(0.0, 1e-3)]
    y = 1e9 + np.array([[5e5, 5e-4], [5e5, 5e-4], [0.0, 0.0], [-1e8, 3.0]])
    options = {"prior": prior, "tolerance": 2e3, "max_simulations": 20_000, "on_shortfall": "return"}
    got = abc(shifted, y, 10, **options)
    assert_same(got, abc(shifted, y, 10, backend="reference", **options))
    assert got.accepted.tolist() == [10, 10, 10, 0]
    np.testing.assert_array_equal(got.x[0], got.x[1])


def test_a_radius_foreseen_too_small_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its margin the forecast fails half the time: the search is repeated, the result the same."""
    options: dict[str, Any] = {"nearest": True, "max_simulations": 60_000, "seed": 3}
    want = abc("kinematics", KINEMATICS, 200, backend="reference", **options)
    searched = []
    run_rounds = abc_call.run_rounds

    def counted(source: Any, keeper: Any, *rest: Any) -> Any:
        searched.append(len(keeper.found))
        return run_rounds(source, keeper, *rest)

    monkeypatch.setattr(abc_call, "run_rounds", counted)
    assert_same(abc("kinematics", KINEMATICS, 200, **options), want)
    assert searched == [len(KINEMATICS)]
    monkeypatch.setattr(abc_nearest, "MARGIN_SIGMAS", -1.0)
    monkeypatch.setattr(abc_nearest, "MARGIN_MORE", 1.0)
    assert_same(abc("kinematics", KINEMATICS, 200, **options), want)
    assert len(searched) == 3
    assert searched[2] > 0


def test_foreseen_radii_hardly_ever_fail() -> None:
    """The rank kept must cover the hypergeometric count of the k nearest: below 1e-8 at every point."""
    total = 10**6
    for k in (1, 10, 100, 1000, 10_000):
        for seen in np.geomspace(500, total - 1, 40).astype(int):
            rank = abc_nearest.rank_to_keep(k, int(seen), total)
            assert stats.hypergeom(total, k, seen).sf(rank) < 1e-8
