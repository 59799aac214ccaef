"""The definition in NumPy float64: what every other back end is tested against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.mmd.arrays import check_finite
from fastinv.kernels.mmd.kernel_functions import KernelSpec

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# Pairs held at a time: memory stays constant, whatever the sample sizes.
_BLOCK_PAIRS = 1 << 18


def kernel_values(spec: KernelSpec, s: Float64) -> Float64:
    """Kernel values at scaled squared distances s, of the same shape."""
    values = np.zeros_like(s)
    for weight, rate, power in spec.table:
        values += weight * (np.exp2(-rate * s) if spec.family == "gaussian" else (1.0 + rate * s) ** -power)
    return values


def kernel_slopes(spec: KernelSpec, s: Float64) -> Float64:
    """Derivative of the kernel with respect to s."""
    slopes = np.zeros_like(s)
    for weight, rate, power in spec.table:
        if spec.family == "gaussian":
            slopes -= weight * rate * np.log(2.0) * np.exp2(-rate * s)
        else:
            slopes -= weight * rate * power * (1.0 + rate * s) ** (-power - 1.0)
    return slopes


def squared_distances(a: Float64, b: Float64) -> Float64:
    """Squared distances between all rows of a and b, shape (rows of a, rows of b).

    Summed coordinate by coordinate, so that nothing of shape (rows of a, rows of b, d) is held.
    """
    total = np.zeros((len(a), len(b)))
    for p, q in zip(a.T, b.T, strict=True):
        difference = p[:, None] - q
        total += np.square(difference, out=difference)
    return total


def _row_blocks(rows: int, columns: int) -> list[slice]:
    step = max(1, _BLOCK_PAIRS // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _mean_kernel(a: Float64, b: Float64, spec: KernelSpec, scale: float, *, same: bool) -> float:
    """Mean of k over all pairs of a and b, over the pairs i != j if both are the same sample."""
    sums = []
    for rows in _row_blocks(len(a), len(b)):
        values = kernel_values(spec, scale * squared_distances(a[rows], b))
        if same:
            values[np.arange(values.shape[0]), np.arange(rows.start, rows.stop)] = 0.0
        sums.append(float(values.sum()))
    pairs = len(a) * (len(b) - 1 if same else len(b))
    return float(np.sum(sums)) / pairs if pairs else 0.0


def means(x: Array, y: Array, spec: KernelSpec, scale: Float64, parts: tuple[bool, bool, bool]) -> Float64:
    """Mean kernel values of each problem.

    Args:
        x: samples, shape (B, n, d).
        y: samples, shape (B, m, d).
        spec: normal form of the kernel.
        scale: factor on squared distances for each problem, shape (B,).
        parts: which of the three means are wanted.

    Returns:
        Shape (B, 3): the mean of k over pairs i != j of x, over pairs i != j of y, and over all pairs of x
        and y. A part that is not wanted, or has no pairs, is 0.
    """
    check_finite(x, "x")
    check_finite(y, "y")
    result = np.zeros((len(scale), 3))
    for b, factor in enumerate(scale):
        xb, yb = x[b].astype(np.float64), y[b].astype(np.float64)
        for part, (p, q, same) in enumerate(((xb, xb, True), (yb, yb, True), (xb, yb, False))):
            if parts[part]:
                result[b, part] = _mean_kernel(p, q, spec, factor, same=same)
    return result


def row_means(points: Array, y: Array, spec: KernelSpec, scale: Float64) -> Float64:
    """Mean of k(point, y_j) over j for each point.

    Args:
        points: shape (B, p, d).
        y: samples, shape (B, m, d).
        spec: normal form of the kernel.
        scale: factor on squared distances for each problem, shape (B,).

    Returns:
        Shape (B, p), float64.
    """
    check_finite(points, "points")
    check_finite(y, "y")
    result = np.empty(points.shape[:2])
    for b, factor in enumerate(scale):
        own, other = points[b].astype(np.float64), y[b].astype(np.float64)
        for rows in _row_blocks(len(own), len(other)):
            s = factor * squared_distances(own[rows], other)
            result[b, rows] = kernel_values(spec, s).mean(axis=1)
    return result


def _gradient_sum(a: Float64, b: Float64, spec: KernelSpec, scale: float) -> Float64:
    """Sum over j of the gradient of k(a_i, b_j) with respect to a_i, shape of a."""
    gradient = np.empty_like(a)
    for rows in _row_blocks(len(a), len(b)):
        slopes = 2.0 * scale * kernel_slopes(spec, scale * squared_distances(a[rows], b))
        for k in range(a.shape[1]):
            gradient[rows, k] = np.einsum("ij,ij->i", slopes, a[rows, None, k] - b[None, :, k])
    return gradient


def means_and_gradients(
    x: Array,
    y: Array,
    spec: KernelSpec,
    scale: Float64,
    weights: tuple[float, float, float],
    needs: tuple[bool, bool],
) -> tuple[Float64, Array, Array]:
    """Mean kernel values, and the gradients of their weighted sum.

    Args:
        x: samples, shape (B, n, d).
        y: samples, shape (B, m, d).
        spec: normal form of the kernel.
        scale: factor on squared distances for each problem, shape (B,).
        weights: factors on the three means in the sum that is differentiated; a mean with weight 0 is not
            computed and returned as 0.
        needs: whether the gradients in x and in y are wanted.

    Returns:
        The means as `means` returns them, and the gradients in the shapes and dtypes of x and y; one that is
        not wanted has no elements.
    """
    parts = (weights[0] != 0.0, weights[1] != 0.0, weights[2] != 0.0)
    result = means(x, y, spec, scale, parts)
    gx, gy = (np.empty(a.shape if need else (0, *a.shape[1:])) for a, need in zip((x, y), needs, strict=True))
    n, m = x.shape[1], y.shape[1]
    wx, wy = (2.0 * w / (k * (k - 1)) if k > 1 else 0.0 for w, k in zip(weights, (n, m), strict=False))
    cross = weights[2] / (n * m)
    for b, factor in enumerate(scale):
        xb, yb = x[b].astype(np.float64), y[b].astype(np.float64)
        if needs[0]:
            gx[b] = wx * _gradient_sum(xb, xb, spec, factor) + cross * _gradient_sum(xb, yb, spec, factor)
        if needs[1]:
            gy[b] = wy * _gradient_sum(yb, yb, spec, factor) + cross * _gradient_sum(yb, xb, spec, factor)
    return result, gx.astype(x.dtype, copy=False), gy.astype(y.dtype, copy=False)
