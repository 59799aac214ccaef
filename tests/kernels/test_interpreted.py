"""Numba's kernels run by Python itself, against the reference: `make coverage` sees nothing of compiled code.

Only with NUMBA_DISABLE_JIT=1. What no interpreter can execute, bit casts and the functions that only Numba's
typing resolves, has a stand-in of NumPy's here; compiled, it is tested where the other tests are.
"""

# ruff: noqa: E402
from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

if not numba.config.DISABLE_JIT:
    pytest.skip("needs NUMBA_DISABLE_JIT=1", allow_module_level=True)

from fastinv.kernels.mmd import numba_math
from fastinv.kernels.rejection.numba_cpu import abc_double, abc_math

_INTEGERS = {4: np.int32, 8: np.int64}
_FLOATS = {4: np.float32, 8: np.float64}


def _bits(value: Any) -> Any:
    return value.view(_INTEGERS[value.dtype.itemsize])


def _from_bits(value: Any) -> Any:
    return value.view(_FLOATS[value.dtype.itemsize])


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Multiply and add in the longest floats there are; on most machines rounded twice."""
    return np.float64(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))


STAND_INS = {"bits_of": _bits, "from_bits": _from_bits, "_fma": _fma}
# Before the modules are imported that take these names from here.
for module in (numba_math, abc_math, abc_double):
    for name in STAND_INS.keys() & vars(module).keys():
        setattr(module, name, STAND_INS[name])
numba_math.exp2 = lambda t: (numba_math._exp2_32 if t.dtype == np.float32 else numba_math._exp2_64)(t)
numba_math.log2 = lambda u: (numba_math._log2_32 if u.dtype == np.float32 else numba_math._log2_64)(u)

import torch

from fastinv.kernels import Gaussian, InverseMultiquadric, abc, mmd2, mmd2_terms, witness
from fastinv.kernels.mcmc import mcmc_ballistics, mcmc_kinematics
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics

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
