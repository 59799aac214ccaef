"""Numba's kernels run by Python itself, against the reference: `make coverage` sees nothing of compiled code.

Only with NUMBA_DISABLE_JIT=1. What no interpreter can execute, bit casts and the functions that only Numba's
typing resolves, has a stand-in of NumPy's here; compiled, it is tested where the other tests are.
"""

# ruff: noqa: E402
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

if not numba.config.DISABLE_JIT:
    pytest.skip("needs NUMBA_DISABLE_JIT=1", allow_module_level=True)

from fastinv.kernels.mmd import numba_math
from fastinv.kernels.rejection.numba_cpu import abc_double, abc_math, abc_nearest, abc_users

_INTEGERS = {4: np.int32, 8: np.int64}
_FLOATS = {4: np.float32, 8: np.float64}


def _bits(value: Any) -> Any:
    return value.view(_INTEGERS[value.dtype.itemsize])


def _from_bits(value: Any) -> Any:
    return value.view(_FLOATS[value.dtype.itemsize])


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Multiply and add in the longest floats there are; on most machines rounded twice."""
    return np.float64(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))


def _store(value: Any, out: np.ndarray, j: int) -> bool:
    row = np.atleast_1d(value)
    if fits := len(row) == len(out):
        out[:, j] = row
    return fits


def _call(function: Callable[..., bool], arguments: tuple[Any, ...]) -> bool:
    """The function itself takes the place of its address."""
    return function(*arguments)


STAND_INS = {
    "bits_of": _bits, "from_bits": _from_bits, "_fma": _fma, "_store": _store, "_call_run": _call,
    "_call_prior": _call,
}  # fmt: skip
# Before the modules are imported that take these names from here.
for module in (numba_math, abc_math, abc_double, abc_users):
    for name in STAND_INS.keys() & vars(module).keys():
        setattr(module, name, STAND_INS[name])
numba_math.exp2 = lambda t: (numba_math._exp2_32 if t.dtype == np.float32 else numba_math._exp2_64)(t)
numba_math.log2 = lambda u: (numba_math._log2_32 if u.dtype == np.float32 else numba_math._log2_64)(u)

import torch

from fastinv.kernels import (
    Gaussian,
    InverseMultiquadric,
    Normal,
    Poisson,
    Uniform,
    abc,
    mmd2,
    mmd2_terms,
    witness,
)
from fastinv.kernels.mcmc import mcmc_ballistics, mcmc_kinematics
from fastinv.kernels.mmd import numba_median
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection import abc_reference, sample_ballistics, sample_kinematics
from fastinv.kernels.rejection.abc_sources import compiled_prior

# Python's integers of fixed width warn where they wrap, which Numba's do by definition.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-13}
KERNELS = ["paper", "hint", "median", Gaussian(0.7), Gaussian(0.5, 1.0, 2.0), InverseMultiquadric((1.0, 0.3))]


def samples(dtype: type, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(2, 9, d)).astype(dtype), rng.normal(size=(2, 7, d)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_mmd(kernel: Any, dtype: type) -> None:
    for d in (1, 3, 20):
        x, y = samples(dtype, d)
        got = mmd2_terms(x, y, kernel=kernel, backend="numba")
        want = mmd2_terms(x, y, kernel=kernel, backend="reference")
        for part in ("xx", "yy", "xy"):
            assert np.abs(getattr(got, part) - getattr(want, part)).max() <= TOLERANCE[dtype] * want.k0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_mmd_gradients(kernel: Any, dtype: type) -> None:
    gradients = []
    for backend in ("numba", "reference"):
        x, y = (torch.from_numpy(a).requires_grad_() for a in samples(dtype))
        gradients.append(torch.autograd.grad(mmd2(x, y, kernel=kernel, backend=backend).sum(), (x, y)))
    for got, want in zip(*gradients, strict=True):
        assert (got - want).abs().max() <= (2e-5 if dtype == np.float32 else 1e-11) * want.abs().max()


def test_witness() -> None:
    x, y = samples(np.float64)
    got, want = (witness(x[:, :4], x, y, backend=b) for b in ("numba", "reference"))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_exact_samplers() -> None:
    # Few observations and many take different ways through the threads.
    for arms in (np.array([[0.0, 1.5], [0.0, 1.0]]), np.array([[0.3, 0.9]])):
        want = sample_kinematics(arms, 12, seed=5, backend="reference")
        np.testing.assert_allclose(sample_kinematics(arms, 12, seed=5, backend="numba"), want, atol=1e-9)
    for throws in (np.array([[5.0], [0.0], [-2.0], [24.0]]), np.array([[60.0]])):
        want = sample_ballistics(throws, 12, seed=5, backend="reference")
        np.testing.assert_allclose(sample_ballistics(throws, 12, seed=5, backend="numba"), want, atol=1e-9)


@pytest.mark.parametrize(("run", "y"), [(mcmc_kinematics, [[0.0, 1.5]]), (mcmc_ballistics, [[5.0]])])
def test_chains_stay_on_the_solutions(run: Any, y: list[list[float]]) -> None:
    import fastinv

    problem = fastinv.problem("kinematics" if run is mcmc_kinematics else "ballistics")
    drawn = run(np.array(y), 16, seed=1).x
    np.testing.assert_allclose(problem.simulate(drawn), np.broadcast_to(y, (1, 16, len(y[0]))), atol=1e-6)


@pytest.mark.parametrize(
    ("problem", "y"), [("kinematics", [[0.0, 1.5], [0.1, 1.6]]), ("ballistics", [[5.0], [4.0]])]
)
def test_abc(problem: str, y: list[list[float]]) -> None:
    got, want = (
        abc(problem, y, 3, tolerance=0.6, seed=2, max_simulations=1000, on_shortfall="return", backend=b)
        for b in ("numba", "reference")
    )
    np.testing.assert_array_equal(got.accepted, want.accepted)
    np.testing.assert_allclose(got.x, want.x, rtol=1e-12, atol=1e-14)


def test_buffers_of_the_nearest() -> None:
    k, capacity, rng = 4, 9, np.random.default_rng(2)
    observation, number = rng.integers(0, 2, 200), np.arange(200)
    distance = rng.integers(0, 30, 200) / 8.0  # with ties
    found, radius = np.zeros(2, dtype=np.int64), np.full(2, np.inf)
    kept_number, kept_distance = np.zeros((2, capacity), dtype=np.int64), np.empty((2, capacity))
    abc_nearest.absorb(k, k, observation, number, distance, found, radius, kept_number, kept_distance)
    abc_nearest.tighten(k, k, 1.0, found, radius, kept_number, kept_distance)
    for i in range(2):
        own = number[observation == i]
        want = own[np.argsort(distance[own], kind="stable")][:k]
        np.testing.assert_array_equal(kept_number[i, : found[i]], np.sort(want))
        assert radius[i] == distance[want[-1]]


def fragile(x: np.ndarray) -> tuple[float, float]:
    if x[0] > 1.5:
        raise ValueError("too high")
    return x[0] + x[1], x[2]


def fragile_block(x: np.ndarray, y: np.ndarray) -> bool:
    return all(_store(fragile(row), y, j) for j, row in enumerate(x.T))


@pytest.mark.parametrize("how", ["by rows", "quick", "thorough"])
def test_loop_of_a_user_s_simulator(how: str) -> None:
    count, prior = 300, (Normal(1.0, 2.0), Uniform(-1.0, 3.0), Poisson(4.0))
    u = abc_reference.uniforms(np.arange(count) + 7, 3, 9)
    x = np.stack([c.quantile(u[:, i]) for i, c in enumerate(prior)], axis=1)
    by_rows = abc_users.make_rows(fragile)
    run = {
        "by rows": by_rows,
        "quick": abc_users.with_rows(fragile_block, abc_users.all_fail),
        "thorough": abc_users.with_rows(fragile_block, by_rows),
    }[how]
    pointer, coordinates = compiled_prior(prior)
    assert pointer is None
    y, counts = np.empty((2, count)), np.zeros(2, dtype=np.int64)
    assert abc_users.simulate(0, run, 7, *split_seed(9), 3, coordinates, y, counts) == abc_users.OK
    fails = x[:, 0] > 1.5
    if how == "quick":
        assert counts.tolist() == [count, 2]  # each block has a draw that raises
        assert np.isnan(y).all()
    else:
        assert counts.tolist() == [fails.sum(), 0]
        want = np.where(fails, np.nan, [x[:, 0] + x[:, 1], x[:, 2]])
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
        too_few = np.empty((1, 5))
        status = abc_users.simulate(0, run, 7, *split_seed(9), 3, coordinates, too_few, counts)
        assert status == abc_users.SIMULATOR_SHAPE


def test_prior_of_a_user() -> None:
    by_rows = abc_users.row_by_row(lambda u: (2.0 * u[0], 1.0 - u[1]))
    u = np.random.default_rng(0).uniform(size=(2, 5))
    x, failed = np.empty((2, 5)), np.zeros(5, dtype=bool)
    failed[3] = True
    assert abc_users.draw(by_rows, (), u, x, failed)
    np.testing.assert_array_equal(x[:, ~failed], np.stack([2.0 * u[0], 1.0 - u[1]])[:, ~failed])
    assert not by_rows((), u, np.empty((3, 5)), failed)


@pytest.mark.parametrize("capacity", [8, 64, 4096])
def test_selection_of_distances_with_a_small_buffer(capacity: int) -> None:
    # Dimensions are padded to four.
    pooled = np.concatenate([np.random.default_rng(1).normal(size=(2, 40)), np.zeros((2, 40))])
    d2 = np.sort(((pooled[:, :, None] - pooled[:, None]) ** 2).sum(0)[np.triu_indices(40, 1)])
    for rank in (0, 17, len(d2) // 2, len(d2) - 1):
        found = numba_median._kth_smallest(pooled, rank, np.empty(capacity))
        np.testing.assert_allclose(found, d2[rank], rtol=1e-12)
