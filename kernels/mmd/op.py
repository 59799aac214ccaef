"""The public MMD functions: validate, choose a back end, combine the means it returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastinv.kernels import backends
from fastinv.kernels.mmd import median
from fastinv.kernels.mmd.arrays import Samples, as_samples, check_pair
from fastinv.kernels.mmd.engines import CPU_BACKENDS, Float64, engine
from fastinv.kernels.mmd.kernel_functions import Kernel, MedianHeuristic, resolve
from fastinv.kernels.mmd.terms import MMDTerms, SelfTerm, check_unbiased, estimate_weights


def mmd2(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "paper",
    unbiased: bool = False,
    backend: str = "auto",
    x_self: SelfTerm | None = None,
    y_self: SelfTerm | None = None,
    check: bool = False,
) -> Any:
    """Squared maximum mean discrepancy between samples x and y; no n x m matrix is ever stored.

    NumPy in, NumPy out; torch in, torch out, on the same device and differentiable once in both arguments.

    Args:
        x: samples, shape (n, d) or (B, n, d), float32 or float64, any strides.
        y: samples, shape (m, d) or (B, m, d), dtype of x. A single sample meets every sample of a batch.
        kernel: a name ("paper", "hint", "multiscale", "gaussian", "gaussian(h1, h2, ...)", "median") or a
            `Gaussian`, `InverseMultiquadric` or `MedianHeuristic` object. Distances are in the units of x.
        unbiased: the U-statistic (pairs i != j only, may be negative) instead of the V-statistic.
        backend: "auto" or a name listed by `available_backends`.
        x_self: term of x kept by `self_term`, so that it is not computed again.
        y_self: term of y, likewise.
        check: look for NaN and infinity on CUDA too, where it costs a synchronisation; the CPU always looks.
            Unchecked, they make the result NaN.

    Returns:
        MMD^2 in the dtype of x: a scalar for two (n, d) samples, else shape (B,).

    Raises:
        TypeError: for dtypes other than float32 and float64, or for mixed kinds of arguments.
        ValueError: for shapes that do not fit, empty samples, NaN or infinity, n < 2 with `unbiased`, an
            unknown kernel, or a self term of other data.
        BackendUnavailable: if the back end asked for cannot serve.

    Examples:
        >>> from fastinv.kernels import Gaussian
        >>> x, y = np.zeros((100, 2)), np.ones((50, 2))
        >>> round(float(mmd2(x, y, kernel=Gaussian(1.0))), 4)    # 2 - 2 exp(-1)
        1.2642
    """
    samples, kernel = check_pair(x, y), resolve(kernel)
    if unbiased:
        check_unbiased(samples.x.shape[1], samples.y.shape[1])
    _check_self_terms(x, y, kernel, x_self, y_self)
    if samples.tensor:
        from fastinv.kernels.mmd import torch_op

        if check and samples.device == "cuda":
            torch_op.check_values(samples)
        if torch_op.is_more_than_arrays(samples, backend):
            value = torch_op.mmd2(samples, kernel, unbiased, backend, x_self, y_self)
            return value if samples.batched else value[0]
        # Operations on tensors cost more than a small problem does.
        arrays = torch_op.as_arrays(samples)
        return torch_op.from_array(_estimate(arrays, kernel, unbiased, backend, x_self, y_self))
    return _estimate(samples, kernel, unbiased, backend, x_self, y_self)


def _estimate(
    samples: Samples,
    kernel: Kernel,
    unbiased: bool,
    backend: str,
    x_self: SelfTerm | None,
    y_self: SelfTerm | None,
) -> Any:
    """MMD^2 of validated arrays: a scalar, or shape (B,) for batches."""
    means = _all_means(samples, kernel, backend, x_self, y_self)
    (wx, wy, wxy), constant = estimate_weights(
        samples.x.shape[1], samples.y.shape[1], kernel.spec().at_zero, unbiased=unbiased
    )
    if not samples.batched:
        # Python floats: for one small problem, arithmetic on arrays costs more than the kernel.
        xx, yy, xy = means[0].tolist()
        return samples.x.dtype.type(wx * xx + wy * yy + wxy * xy + constant)
    return (wx * means[:, 0] + wy * means[:, 1] + wxy * means[:, 2] + constant).astype(samples.x.dtype)


def mmd2_terms(
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "paper",
    backend: str = "auto",
    x_self: SelfTerm | None = None,
    y_self: SelfTerm | None = None,
) -> MMDTerms:
    """The mean kernel values behind MMD^2, from one pass: biased, unbiased and any other sample size at once.

    Arguments and errors are those of `mmd2`. Torch tensors yield float64 tensors that carry no gradient.

    Returns:
        The terms, float64, each a scalar for two (n, d) samples, else of shape (B,).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> terms = mmd2_terms(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)))
        >>> bool(terms.unbiased < terms.biased_at(4000) < terms.biased)
        True
    """
    samples, kernel = check_pair(x, y), resolve(kernel)
    _check_self_terms(x, y, kernel, x_self, y_self)
    if samples.tensor:
        from fastinv.kernels.mmd import torch_op

        terms = torch_op.mmd2_terms(samples, kernel, backend, x_self, y_self)
    else:
        terms = _terms(samples, kernel, backend, x_self, y_self)
    if samples.batched:
        return terms
    return MMDTerms(terms.k0, terms.n, terms.m, terms.xx[0], terms.yy[0], terms.xy[0])


def self_term(y: Any, kernel: str | Kernel = "paper", *, backend: str = "auto") -> SelfTerm:
    """A sample's own term, to be passed as `x_self` or `y_self` to later calls.

    Args:
        y: samples as `mmd2` takes them.
        kernel: as in `mmd2`, but not the median heuristic, whose bandwidth depends on both samples.
        backend: as in `mmd2`.

    Raises:
        ValueError: for the median heuristic, and for what `mmd2` rejects.
        TypeError: as `mmd2`.

    Examples:
        >>> y = np.random.default_rng(0).normal(size=(100, 2))
        >>> term = self_term(y)
        >>> bool(mmd2(y + 1.0, y, y_self=term) == mmd2(y + 1.0, y))
        True
    """
    kernel = resolve(kernel)
    if isinstance(kernel, MedianHeuristic):
        raise ValueError(
            "kernel 'median' has no self term of one sample: its bandwidth depends on both samples"
        )
    y = as_samples(y, "y")
    samples = check_pair(y, y)
    if samples.tensor:
        from fastinv.kernels.mmd import torch_op

        return SelfTerm.of(y, torch_op.self_mean(samples, kernel, backend), kernel)
    mean = _means(samples, kernel, backend, (False, True, False))[:, 1]
    return SelfTerm.of(y, mean, kernel)


def _check_self_terms(
    x: Any, y: Any, kernel: Kernel, x_self: SelfTerm | None, y_self: SelfTerm | None
) -> None:
    for sample, term, name in ((x, x_self, "x"), (y, y_self, "y")):
        if term is None:
            continue
        if not isinstance(term, SelfTerm):
            raise TypeError(f"{name}_self must come from self_term, got {type(term).__name__}")
        term.check(as_samples(sample, name), kernel, name)


def _means(samples: Samples, kernel: Kernel, backend: str, parts: tuple[bool, bool, bool]) -> Float64:
    name = backends.select(backend, device="cpu", serving=CPU_BACKENDS, operation="mmd2")
    spec = kernel.spec()
    scale = np.empty(samples.x.shape[0])
    scale.fill(spec.scale)
    if isinstance(kernel, MedianHeuristic):
        scale /= median.median_squared_distance(samples.x, samples.y, name)
    return engine(name).means(samples.x, samples.y, spec, scale, parts)


def _all_means(
    samples: Samples, kernel: Kernel, backend: str, x_self: SelfTerm | None, y_self: SelfTerm | None
) -> Float64:
    """The three mean kernel values, shape (B, 3), kept self terms in their places."""
    means = _means(samples, kernel, backend, (x_self is None, y_self is None, True))
    if x_self is not None:
        means[:, 0] = x_self.mean
    if y_self is not None:
        means[:, 1] = y_self.mean
    return means


def _terms(
    samples: Samples, kernel: Kernel, backend: str, x_self: SelfTerm | None, y_self: SelfTerm | None
) -> MMDTerms:
    means = _all_means(samples, kernel, backend, x_self, y_self)
    sizes = samples.x.shape[1], samples.y.shape[1]
    return MMDTerms(kernel.spec().at_zero, *sizes, means[:, 0], means[:, 1], means[:, 2])


__all__ = ["estimate_weights", "mmd2", "mmd2_terms", "self_term"]
