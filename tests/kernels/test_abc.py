"""Tolerance ABC: back ends, both modes, users' simulators, bad input, and the exact samplers as its limit."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

import fastinv
from fastinv.kernels import ABCResult, ABCShortfallError, Normal, Poisson, Uniform, abc
from fastinv.kernels.rejection import Arm, Throw, abc_rounds
from fastinv.kernels.rejection.abc_batches import SimulatorError
from fastinv.kernels.rejection.abc_reference import draw_ballistics, draw_kinematics, uniforms
from fastinv.kernels.rejection.abc_sources import BallisticsSource, KinematicsSource
from fastinv.kernels.rejection.numba_cpu import abc_math

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


# --- the pieces -----------------------------------------------------------------------------------------


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


# --- both modes against brute force ---------------------------------------------------------------------

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


# --- users' simulators ----------------------------------------------------------------------------------


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


def test_a_simulator_that_always_raises() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        raise KeyError("no such key")

    with pytest.raises(SimulatorError, match="simulator raised KeyError for each of the 32 draws") as caught:
        abc(broken, [[0.0]], 10, tolerance=0.1, prior=LINE)
    assert isinstance(caught.value.__cause__, KeyError)

    @numba.njit
    def broken_row(x):
        if x[0] < 1e9:
            raise ValueError("always")
        return x[0]

    with pytest.raises(ABCShortfallError, match=r"1,000 raised.*below 0.003 per simulation"):
        abc(broken_row, [[0.0]], 10, tolerance=0.1, prior=LINE, max_simulations=1000)


# --- coming up short ------------------------------------------------------------------------------------


def test_shortfall_is_raised_with_what_was_accepted() -> None:
    with pytest.raises(ABCShortfallError, match=r"observation 1 has 0 within 0\.01") as caught:
        abc("kinematics", [[0.1, 1.6], [8.0, 0.0]], 10, tolerance=0.01, max_simulations=10**6)
    result = caught.value.result
    assert result.short.tolist() == [1]
    assert np.isfinite(result.x[0]).all()
    assert result.simulations[1] == 10**6
    assert math.isinf(result.expected_simulations[1])


def test_report_extrapolates() -> None:
    result = abc("ballistics", [[5.0]], 10**5, tolerance=0.01, max_simulations=10**5, on_shortfall="return")
    rate = result.accepted[0] / 10**5
    assert result.acceptance_rate[0] == pytest.approx(rate)
    assert result.expected_simulations[0] == pytest.approx(10**5 / rate)
    assert result.expected_seconds[0] == pytest.approx(result.seconds / rate)


def test_progress_is_reported() -> None:
    seen = []
    abc("kinematics", KINEMATICS[:2], 100, tolerance=0.05, on_progress=seen.append)
    simulations = [p.simulations for p in seen]
    assert simulations == sorted(set(simulations))
    assert seen[-1].finished == seen[-1].observations == 2


@pytest.mark.parametrize("kind", ["built-in", "compiled", "batch"])
def test_interrupt_is_answered_within_a_second(kind: str) -> None:
    @numba.njit
    def slow(x):
        total = x[0]
        for i in range(200_000):
            total += math.sin(total + i)
        return total

    simulators = {"built-in": "kinematics", "compiled": slow, "batch": lambda x: np.tile(x, (1, 1))}
    options: dict[str, Any] = {} if kind == "built-in" else {"prior": [Normal(0.0, 1.0)]}
    y = [[0.0, 7.0]] if kind == "built-in" else [[1e9]]
    abc(simulators[kind], y, 1, tolerance=1e-6, max_simulations=1, on_shortfall="return", **options)
    main = threading.main_thread().ident
    pressed: list[float] = []

    def press() -> None:
        import signal

        pressed.append(time.monotonic())
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(1.0, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        abc(simulators[kind], y, 1, tolerance=1e-6, max_simulations=10**15, **options)
    assert time.monotonic() - pressed[0] < 1.0


# --- bad input ------------------------------------------------------------------------------------------


@numba.njit
def three_numbers(x):
    return x[0], x[1], 1.0


@numba.njit
def text(x):
    return "far"


@numba.njit
def undefined(x):
    return x.nonsense


@pytest.mark.parametrize(
    ("simulator", "y", "options", "error", "words"),
    [
        (
            "kinematic",
            [[0, 1]],
            {"tolerance": 1.0},
            ValueError,
            r"simulator 'kinematic' is unknown; accepted",
        ),
        (3, [[0.0]], {"tolerance": 1.0}, TypeError, r"simulator must be .* got int"),
        ("kinematics", [[0.0]], {"tolerance": 1.0}, ValueError, r"y must have shape \(B, 2\)"),
        ("kinematics", [0.0, 1.0], {"tolerance": 1.0}, ValueError, r"y must have shape"),
        ("kinematics", np.empty((0, 2)), {"tolerance": 1.0}, ValueError, r"y must have shape"),
        ("kinematics", [[0, 1], [0, np.nan]], {"tolerance": 1.0}, ValueError, r"finite; observation 1"),
        ("kinematics", [[0, 1]], {}, ValueError, r"either a tolerance or nearest"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "nearest": True}, ValueError, r"either a tolerance or"),
        ("kinematics", [[0, 1]], {"tolerance": 0.0}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": -1.0}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": np.nan}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": np.inf}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": "0.1"}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "n": 0}, ValueError, r"n must be in \[1"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "n": 1.5}, TypeError, r"n must be an integer"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "seed": -1}, ValueError, r"seed must be in"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "scale": 0.0}, ValueError, r"scale must be positive"),
        (
            "kinematics",
            [[0, 1]],
            {"tolerance": 1.0, "scale": [1, 2, 3]},
            ValueError,
            r"scale must be a number",
        ),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "prior": LINE}, ValueError, r"prior and dim_x are those"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "on_shortfall": "no"}, ValueError, r"on_shortfall must"),
        (
            "kinematics",
            [[0, 1]],
            {"nearest": True, "n": 11, "max_simulations": 10},
            ValueError,
            r"n must be at most max_simulations .* n=11 of 10",
        ),
        (
            "kinematics",
            [[0, 1]],
            {"tolerance": 1.0, "max_simulations": 0},
            ValueError,
            r"max_simulations must",
        ),
        (line, LINE_Y, {"tolerance": 1.0}, ValueError, r"prior is needed"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": prior_tuple}, ValueError, r"dim_x is needed"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": LINE, "dim_x": 3}, ValueError, r"dim_x must be 2"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": [1.0, 2.0]}, TypeError, r"prior\[0\] must be Normal"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": []}, TypeError, r"prior must be a function or"),
        (line, [[1.0]], {"tolerance": 1.0, "prior": LINE}, ValueError, r"simulator must return 1 number per"),
        (
            three_numbers,
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            ValueError,
            r"simulator must return 2 num",
        ),
        (
            line,
            LINE_Y,
            {"tolerance": 1.0, "prior": prior_tuple, "dim_x": 3},
            ValueError,
            r"prior must return 3",
        ),
        (text, [[1.0]], {"tolerance": 1.0, "prior": LINE}, TypeError, r"simulator: .* it returns"),
        (undefined, [[1.0]], {"tolerance": 1.0, "prior": LINE}, TypeError, r"simulator: .*'nonsense'"),
        (text, [[1.0]], {"tolerance": 1.0, "prior": prior_batch, "dim_x": 2}, TypeError, r"simulator: "),
        (
            lambda x: x[:, :1],
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            ValueError,
            r"simulator must return s",
        ),
        (lambda x: None, LINE_Y, {"tolerance": 1.0, "prior": LINE}, ValueError, r"simulator must return sh"),
        (
            lambda x: object(),
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            TypeError,
            r"simulator must return an",
        ),
        (
            line_batch,
            LINE_Y,
            {"tolerance": 1.0, "prior": lambda u: u[:, :1], "dim_x": 2},
            ValueError,
            r"prior must return shape \(\d+, 2\)",
        ),
    ],
)
def test_bad_input_is_named(
    simulator: Any, y: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        abc(simulator, y, **options)


@pytest.mark.parametrize(
    "bad",
    [lambda: Normal(0.0, 0.0), lambda: Normal(np.nan, 1.0), lambda: Uniform(1.0, 1.0), lambda: Poisson(-1.0)],
)
def test_bad_priors(bad: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="prior: "):
        bad()


# --- the exact samplers as the limit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "y", "tolerance"),
    [
        ("kinematics", [[0.0, 1.5], [0.1, 1.7], [-0.4, 1.2], [0.5, 1.9]], 0.02),
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
