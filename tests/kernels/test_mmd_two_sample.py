"""Median heuristic, witness function and permutation test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from fastinv.kernels import Gaussian, available_backends, mmd2, permutation_test, witness
from fastinv.kernels.mmd import median
from fastinv.kernels.mmd.kernel_functions import named_kernel

BACKENDS = [name for name in ("native", "numba", "reference") if available_backends()[name].available]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_is_exact(dtype: type, backend: str) -> None:
    rng = np.random.default_rng(1)
    # 3 points: an odd number of pairs; 900: beyond the buffer of the streaming selection, so it takes passes.
    for n, m, d in [(1, 1, 1), (2, 1, 2), (30, 34, 3), (400, 500, 2)]:
        for shift in (0.0, 1000.0):
            x = (rng.normal(size=(2, n, d)) + shift).astype(dtype)
            y = (rng.normal(size=(2, m, d)) ** 3 + shift).astype(dtype)
            want = [
                np.median(pdist(np.concatenate(p).astype(np.float64))) ** 2 for p in zip(x, y, strict=True)
            ]
            got = median.median_squared_distance(x, y, backend)
            np.testing.assert_allclose(got, want, rtol=1e-6 if dtype is np.float32 else 1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_median_among_many_ties(backend: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 3, (1, 300, 2)).astype(float), rng.integers(0, 3, (1, 400, 2)).astype(float)
    want = np.median(pdist(np.concatenate([x[0], y[0]]))) ** 2
    np.testing.assert_allclose(median.median_squared_distance(x, y, backend), [want], rtol=1e-13)


def test_median_kernel_is_the_gaussian_of_that_bandwidth() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(50, 3)) + 0.5
    h = float(np.median(pdist(np.concatenate([x, y]))))
    np.testing.assert_allclose(mmd2(x, y, kernel="median"), mmd2(x, y, kernel=Gaussian(h)), rtol=1e-12)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_witness_is_the_difference_of_mean_kernels(dtype: type, backend: str) -> None:
    if not available_backends()[backend].available:
        pytest.skip(f"{backend} is not available here")
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 70, 3)).astype(dtype), rng.normal(size=(2, 33, 3)).astype(dtype) + dtype(0.5)
    points = rng.normal(size=(19, 3)).astype(dtype)
    k = named_kernel("paper")

    def mean(sample: np.ndarray, point: np.ndarray) -> float:
        return float(np.mean([k(float(np.sum((p - q) ** 2))) for p, q in [(point, s) for s in sample]]))

    points64, x64, y64 = (a.astype(np.float64) for a in (points, x, y))
    want = [[mean(x64[b], p) - mean(y64[b], p) for p in points64] for b in range(2)]
    got = witness(x, y, points, backend=backend)
    np.testing.assert_allclose(got, want, atol=1e-13 if dtype is np.float64 else 2e-6 * k(0.0))


def test_witness_of_tensors_and_bad_points() -> None:
    rng = np.random.default_rng(5)
    x, y, points = rng.normal(size=(9, 2)), rng.normal(size=(8, 2)), rng.normal(size=(4, 2))
    tensors = [torch.from_numpy(a) for a in (x, y, points)]
    np.testing.assert_array_equal(witness(*tensors).numpy(), witness(x, y, points))
    with pytest.raises(ValueError, match="points has d = 3"):
        witness(x, y, np.ones((4, 3)))
    with pytest.raises(ValueError, match="points holds nan"):
        witness(x, y, points * np.nan)


def test_permutation_statistic_is_the_biased_mmd() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(3, 20, 2)), rng.normal(size=(3, 30, 2))
    for kernel in ("paper", "median", Gaussian(0.5, 1.0)):
        test = permutation_test(x, y, kernel=kernel, permutations=5)
        np.testing.assert_allclose(test.statistic, mmd2(x, y, kernel=kernel, backend="reference"), rtol=1e-10)


def test_p_values_are_fair_and_find_differences() -> None:
    """Under the null P(p <= a) <= a: 400 p-values at a = 0.1 exceed 62 hits with probability 2e-4."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(400, 15, 2)), rng.normal(size=(400, 12, 2))
    p_values = permutation_test(x, y, permutations=99).p_value
    assert 20 <= np.sum(p_values <= 0.1) <= 62
    assert permutation_test(x[0], y[0] + 3.0, permutations=199).p_value == 1 / 200


def test_identical_samples_have_p_value_one_at_most() -> None:
    x = np.zeros((5, 2))
    test = permutation_test(x, x, permutations=20)
    assert test.p_value == 1.0
    with pytest.raises(ValueError, match="permutations"):
        permutation_test(x, x, permutations=0)
