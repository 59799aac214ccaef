"""MMD: every CPU back end against the definition, estimates, self terms, and bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastinv.kernels import (
    BackendUnavailable,
    Gaussian,
    InverseMultiquadric,
    available_backends,
    mmd2,
    mmd2_terms,
    self_term,
)
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import named_kernel

KERNELS = [
    "paper",
    "hint",
    "multiscale",
    "median",
    Gaussian(0.7),
    Gaussian(0.5, 1.0, 2.0),
    Gaussian(0.5, 0.8, 1.0, 3.0),
    InverseMultiquadric((1.0, 0.3), (2.0, 5.0), (3.0, 1.5), (1.0, 2.5)),
]
BACKENDS = [n for n in CPU_BACKENDS if n != "reference" and available_backends()[n].available]
# Largest error of a mean kernel value, relative to k(0).
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-13}


def samples(
    dtype: type, batch: int, n: int, m: int, d: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([batch, n, m, d])
    x = rng.normal(size=(batch, n, d)) + shift
    y = 0.8 * rng.normal(size=(batch, m, d)) + 0.2 + shift
    return x.astype(dtype), y.astype(dtype)


def assert_close(x: np.ndarray, y: np.ndarray, kernel: object, backend: str) -> None:
    got = mmd2_terms(x, y, kernel=kernel, backend=backend)
    want = mmd2_terms(x, y, kernel=kernel, backend="reference")
    for part in ("xx", "yy", "xy"):
        error = np.abs(getattr(got, part) - getattr(want, part)).max() / want.k0
        assert error <= TOLERANCE[x.dtype.type], f"{part} is off by {error:.1e} k(0)"


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k != "median"], ids=str)
def test_reference_is_the_definition(kernel: object) -> None:
    x, y = samples(np.float64, 1, 7, 5, 3)
    k = named_kernel(kernel) if isinstance(kernel, str) else kernel

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([k(float(np.sum((p - q) ** 2))) for p, q in itertools.product(a, b)]))

    want = mean(x[0], x[0]) + mean(y[0], y[0]) - 2.0 * mean(x[0], y[0])
    assert mmd2(x[0], y[0], kernel=kernel, backend="reference") == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernels_agree_with_reference(kernel: object, dtype: type, backend: str) -> None:
    for shift in (0.0, 1000.0):
        assert_close(*samples(dtype, 3, 70, 63, 4, shift), kernel, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_agree_with_reference(dtype: type, backend: str) -> None:
    sizes = [(1, 1), (1, 63), (63, 1), (2, 2), (16, 17), (129, 64)]
    for (n, m), d in itertools.product(sizes, [1, 2, 3, 5, 8, 16, 17, 128]):
        for kernel in ("paper", Gaussian(1.0)):
            assert_close(*samples(dtype, 2, n, m, d), kernel, backend)


def test_paper_kernel_at_zero() -> None:
    assert named_kernel("paper").spec().at_zero == pytest.approx(0.1**0.1 + 0.5**0.5 + 4.0, rel=1e-15)


def test_estimates_follow_from_the_terms() -> None:
    x, y = samples(np.float64, 4, 50, 40, 2)
    terms = mmd2_terms(x, y)
    np.testing.assert_allclose(terms.biased, mmd2(x, y), rtol=1e-14)
    np.testing.assert_allclose(terms.unbiased, mmd2(x, y, unbiased=True), rtol=1e-12)
    x, y = samples(np.float64, 4, 50, 50, 2)
    terms = mmd2_terms(x, y)
    np.testing.assert_allclose(terms.biased_at(50), terms.biased, rtol=1e-13)


def test_self_term_is_kept_and_checked() -> None:
    x, y = samples(np.float32, 3, 40, 30, 2)
    term = self_term(y)
    np.testing.assert_array_equal(mmd2(x, y, y_self=term), mmd2(x, y))
    np.testing.assert_array_equal(mmd2(y, x, x_self=term), mmd2(y, x))
    for kernel, sample, words in [
        ("hint", y, "kernel|computed with"),
        ("paper", y[:2], "shape"),
        ("paper", y + 1.0, "other data"),
        ("paper", y.astype(np.float64), "float32"),
    ]:
        with pytest.raises(ValueError, match=words):
            mmd2(x[: len(sample)].astype(sample.dtype), sample, kernel=kernel, y_self=term)
    with pytest.raises(ValueError, match="bandwidth depends on both"):
        self_term(y, "median")


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "words"),
    [
        (np.ones(3), np.ones((2, 2)), {}, ValueError, r"x must have shape"),
        (np.ones((2, 2)), np.ones((2, 3)), {}, ValueError, r"d = 2 .* y has 3"),
        (np.ones((0, 2)), np.ones((2, 2)), {}, ValueError, r"x is an empty sample"),
        (np.ones((2, 2)), np.ones((2, 0)), {}, ValueError, r"y has no coordinates"),
        (np.ones((2, 2), int), np.ones((2, 2)), {}, TypeError, r"x has dtype int64; accepted: float32"),
        (np.ones((2, 2), object), np.ones((2, 2)), {}, TypeError, r"x has dtype object"),
        (np.ones((2, 2), np.float32), np.ones((2, 2)), {}, TypeError, r"x has dtype float32 but y"),
        (np.ones((2, 2, 2)), np.ones((3, 2, 2)), {}, ValueError, r"x holds 2 problems but y holds 3"),
        (np.ones((2, 2)), np.array([[1.0, np.nan]]), {}, ValueError, r"y holds nan at index \(0, 0, 1\)"),
        (np.full((2, 2), -np.inf), np.ones((2, 2)), {}, ValueError, r"x holds -inf"),
        (np.ones((1, 2)), np.ones((2, 2)), {"unbiased": True}, ValueError, r"x has 1 sample"),
        (
            np.ones((2, 2)),
            np.ones((2, 2)),
            {"kernel": "papr"},
            ValueError,
            r"'papr' is unknown; accepted: paper",
        ),
        (np.ones((2, 2)), np.ones((2, 2)), {"kernel": 3}, TypeError, r"kernel must be"),
        (np.ones((2, 2)), np.ones((2, 2)), {"backend": "cuda"}, ValueError, r"accepted: auto, native"),
        (
            np.ones((2, 2)),
            np.ones((2, 2)),
            {"backend": "triton"},
            BackendUnavailable,
            r"would serve: .*reference",
        ),
        (np.ones((2, 2)), np.ones((2, 2)), {"kernel": "median"}, ValueError, r"problem 0 coincide"),
    ],
)
def test_bad_input_is_named(x: object, y: object, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        mmd2(x, y, **options)


@pytest.mark.parametrize("bad", [(), (0.0,), (-1.0,), (np.nan,), (np.inf,)])
def test_bad_bandwidths(bad: tuple) -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        Gaussian(*bad)


def test_backend_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = samples(np.float64, 1, 5, 5, 2)
    monkeypatch.setenv("FASTINV_BACKEND", "triton")
    with pytest.raises(BackendUnavailable, match="FASTINV_BACKEND=triton"):
        mmd2(x, y)
    monkeypatch.setenv("FASTINV_BACKEND", "reference")
    assert mmd2(x, y) == mmd2(x, y, backend="reference")
