"""Speed of the MMD kernels: forward, gradients, bandwidths and the two-sample tools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tracking.fixture import Tracked

from fastinv.kernels import available_backends, mmd2, permutation_test, witness

CPU = [name for name in ("native", "numba") if available_backends()[name].available]
BEST = CPU[0]
SHAPES = {
    "tiny": (1, 100, 4),
    "many": (50, 300, 4),
    "batch": (10, 1000, 4),
    "large": (1, 5000, 4),
    "wide": (20, 200, 64),
}


def samples(batch: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(batch, n, d)).astype(np.float32) for _ in range(2))


def yardstick_of(shape: str) -> str:
    """What is over in some microseconds is Python's work, not the kernel's."""
    return "interpreter" if shape == "tiny" else "threads"


def check(x: np.ndarray, y: np.ndarray, kernel: str, backend: str) -> None:
    """Two problems of the batch, at most 1000 rows of each, against the reference."""
    x, y = x[:2, :1000], y[:2, :1000]
    expected = mmd2(x, y, kernel=kernel, backend="reference")
    np.testing.assert_allclose(mmd2(x, y, kernel=kernel, backend=backend), expected, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", ["gaussian", "paper"])
def test_forward(tracked: Tracked, kernel: str, shape: str) -> None:
    x, y = samples(*SHAPES[shape])
    check(x, y, kernel, BEST)
    tracked(lambda: mmd2(x, y, kernel=kernel, backend=BEST), yardstick_of(shape))


@pytest.mark.parametrize("kernel", ["gaussian", "paper"])
@pytest.mark.skipif("numba" not in CPU[1:], reason="Numba is the best back end here and timed as such")
@pytest.mark.parametrize("shape", ["tiny", "batch"])
def test_forward_numba(tracked: Tracked, kernel: str, shape: str) -> None:
    x, y = samples(*SHAPES[shape])
    check(x, y, kernel, "numba")
    tracked(lambda: mmd2(x, y, kernel=kernel, backend="numba"), yardstick_of(shape))


def test_reference(tracked: Tracked) -> None:
    x, y = samples(1, 300, 4)
    tracked(lambda: mmd2(x, y, kernel="paper", backend="reference"), yardstick="core")


@pytest.mark.parametrize("backend", CPU)
@pytest.mark.parametrize("kernel", ["gaussian", "paper"])
def test_gradients(tracked: Tracked, kernel: str, backend: str) -> None:
    gradients(tracked, kernel, backend, (10, 500, 4))


@pytest.mark.parametrize("shape", [(1, 100, 4), (1, 3000, 4), (20, 200, 64)])
def test_gradients_sizes(tracked: Tracked, shape: tuple[int, int, int]) -> None:
    gradients(tracked, "paper", BEST, shape)


def gradients(tracked: Tracked, kernel: str, backend: str, shape: tuple[int, int, int]) -> None:
    """Gradients in both samples as the reference has them, and the times of taking them."""
    x, y = (torch.from_numpy(a).requires_grad_() for a in samples(*shape))

    def call(backend: str = backend) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(mmd2(x, y, kernel=kernel, backend=backend).sum(), (x, y))

    for found, expected in zip(call(), call("reference"), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    tracked(call)


def test_median_heuristic(tracked: Tracked) -> None:
    x, y = samples(10, 300, 4)
    check(x, y, "median", BEST)
    tracked(lambda: mmd2(x, y, kernel="median", backend=BEST))


def test_witness(tracked: Tracked) -> None:
    x, y = samples(10, 1000, 4)
    expected = witness(x[:1], y[:1], x[:1], backend="reference")
    np.testing.assert_allclose(witness(x[:1], y[:1], x[:1]), expected, atol=2e-5)
    tracked(lambda: witness(x, y, x))


def test_permutations(tracked: Tracked) -> None:
    x, y = samples(2, 200, 4)
    statistic = permutation_test(x, y, permutations=99).statistic
    np.testing.assert_allclose(statistic, mmd2(x, y, backend="reference"), atol=2e-5)
    tracked(lambda: permutation_test(x, y, permutations=99))
