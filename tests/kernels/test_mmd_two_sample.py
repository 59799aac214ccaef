"""Median heuristic, witness function and permutation test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from fastinv.kernels import Gaussian, available_backends, mmd2, permutation_test, witness
from fastinv.kernels.mmd import median, torch_two_sample, two_sample
from fastinv.kernels.mmd.arrays import check_pair
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import named_kernel, resolve

BACKENDS = [name for name in CPU_BACKENDS if available_backends()[name].available]


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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_witness_is_the_difference_of_mean_kernels(dtype: type, backend: str) -> None:
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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", ["paper", "hint", "median", Gaussian(0.4, 0.8)])
def test_witness_means_add_up_to_the_mmd(backend: str, kernel: Any) -> None:
    """The mean of the witness over x less that over y is the biased MMD^2; 700 rows are several blocks."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 700, 2)), rng.normal(size=(2, 533, 2)) + 0.3
    means = [witness(x, y, points, kernel=kernel, backend=backend).mean(axis=1) for points in (x, y)]
    np.testing.assert_allclose(means[0] - means[1], mmd2(x, y, kernel=kernel), rtol=1e-10)


@pytest.mark.parametrize("kernel", ["paper", "median"])
def test_witness_batches_broadcast(kernel: str) -> None:
    rng = np.random.default_rng(9)
    x, y, points = rng.normal(size=(9, 2)), rng.normal(size=(3, 8, 2)), rng.normal(size=(4, 2))
    got = witness(x, y, points, kernel=kernel)
    want = [witness(x, one, points, kernel=kernel) for one in y]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    swapped = witness(y, x, np.stack([points] * 3), kernel=kernel)
    np.testing.assert_allclose(swapped, -got, rtol=1e-12)
    assert witness(x, y[0], points[None], kernel=kernel).shape == (1, 4)


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


def test_p_value_is_the_share_of_relabellings_that_reach_the_statistic() -> None:
    """Every relabelling scored by `mmd2` itself, over several blocks of the kernel matrix."""
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(2, 110, 3)), 0.1 + rng.normal(size=(2, 90, 3))
    test = permutation_test(x, y, kernel="paper", permutations=40, seed=5)
    draw = np.random.default_rng(5)
    orders = [draw.permutation(200) for _ in range(40)]
    for b, pooled in enumerate(np.concatenate([x, y], axis=1)):
        # Where a relabelling puts member i, the label of member order[i] came to stand.
        split = [(pooled[order < 110], pooled[order >= 110]) for order in orders]
        statistics = [float(mmd2(p, q, kernel="paper")) for p, q in split]
        reached = 1 + sum(s >= test.statistic[b] for s in statistics)
        assert test.p_value[b] == reached / 41


@pytest.mark.parametrize("kernel", ["paper", "median", Gaussian(0.5, 1.0)])
def test_permutations_in_torch_blocks_agree(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA tensors take runs on any device: here on the CPU, in blocks of a few rows."""
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(3, 25, 2)).astype(np.float32), rng.normal(size=(3, 31, 2)).astype(np.float32)
    want = permutation_test(x, y, kernel=kernel, permutations=99)
    labels = two_sample._relabellings(25, 31, 99, seed=0)
    samples = check_pair(torch.from_numpy(x), torch.from_numpy(y))
    for block in (1 << 24, 2000):
        monkeypatch.setattr(torch_two_sample, "_BLOCK_VALUES", block)
        forms = torch_two_sample.quadratic_forms(samples, torch.from_numpy(labels), resolve(kernel))
        statistic, p_value = two_sample._p_values(forms, 1e-12)
        np.testing.assert_allclose(statistic.numpy(), want.statistic, rtol=1e-10)
        np.testing.assert_array_equal(p_value.numpy(), want.p_value)


def test_what_is_no_number_has_no_p_value() -> None:
    """CUDA does not look for NaN: a comparison with it would count as never reached, p = 0."""
    forms = torch.tensor([[np.nan, 1.0, np.nan], [1.0, 0.5, 2.0]])
    _, p_value = two_sample._p_values(forms, 0.0)
    np.testing.assert_allclose(p_value.numpy(), [np.nan, 2 / 3])


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
