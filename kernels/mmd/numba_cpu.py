"""MMD in Numba: the fast CPU path on machines without the C++ extension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fastinv.kernels.mmd.kernel_functions import KernelSpec
from fastinv.kernels.mmd.numba_math import exp2, log2
from fastinv.kernels.mmd.pack import packed_pair, spread_limit
from fastinv.kernels.mmd.plan import Plan, plan

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# Columns of one block: distances, values and slopes of a block stay in the first-level cache.
_BLOCK = 512
# Rows of one task: enough work to hide the scheduling, small enough to share a single problem.
_ROWS = 64
# `reassoc` lets LLVM vectorise the sums.
_SUM = {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"}


@njit(fastmath=_SUM, cache=True, inline="never")
def _distances(a, i, b, start, stop, out):  # type: ignore[no-untyped-def]
    """Squared distances from row i of a to rows start..stop of b; coordinates come in fours, padded with 0."""
    for k in range(0, a.shape[0], 4):
        a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        if k == 0:
            for j in range(stop - start):
                t0, t1 = a0 - b0[start + j], a1 - b1[start + j]
                t2, t3 = a2 - b2[start + j], a3 - b3[start + j]
                out[j] = t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3
        else:
            for j in range(stop - start):
                t0, t1 = a0 - b0[start + j], a1 - b1[start + j]
                t2, t3 = a2 - b2[start + j], a3 - b3[start + j]
                out[j] += t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3


@njit(fastmath=_SUM, cache=True, inline="never")
def _gaussian(d2, count, scale, heads, e, slope, grad):  # type: ignore[no-untyped-def]
    """Sum of the kernel over a block; with `grad`, slope receives -dk/ds / ln 2."""
    kind = d2.dtype.type
    total = kind(0.0)
    if grad:
        slope[:count] = kind(0.0)
    rate = kind(0.0)
    growth = kind(1.0)
    for step in range(heads.shape[0]):
        if heads[step, 0] > 0.0:
            rate, growth = kind(-heads[step, 0] * scale), kind(heads[step, 0])
            for j in range(count):
                e[j] = exp2(d2[j] * rate)
        for _ in range(int(heads[step, 1])):
            growth *= kind(2.0)
            for j in range(count):
                e[j] *= e[j]
        weight = kind(heads[step, 2])
        partial = kind(0.0)
        for j in range(count):
            partial += e[j]
        total += weight * partial
        if grad:
            factor = weight * growth
            for j in range(count):
                slope[j] += factor * e[j]
    return total


@njit(fastmath=_SUM, cache=True, inline="never")
def _imq(d2, count, scale, heads, tails, e, slope, grad):  # type: ignore[no-untyped-def]
    """Sum of the kernel over a block; with `grad`, slope receives -dk/ds."""
    kind = d2.dtype.type
    one = kind(1.0)
    total = kind(0.0)
    if grad:
        slope[:count] = kind(0.0)
    term = 0
    for group in range(heads.shape[0]):
        rate, factor = kind(heads[group, 0]), kind(heads[group, 0] * scale)
        for power in range(1, heads.shape[1] - 1):
            weight = kind(heads[group, 1 + power])
            if weight == 0.0:
                continue
            partial = kind(0.0)
            half = kind(0.5 * power)
            odd, squares = power % 2 == 1, power // 2
            for j in range(count):
                inverse = one / (one + factor * d2[j])
                value = np.sqrt(inverse) if odd else one
                for _ in range(squares):
                    value *= inverse
                partial += value
                if grad:
                    slope[j] += rate * weight * half * value * inverse
            total += weight * partial
        for _ in range(int(heads[group, 1])):
            weight, exponent = kind(tails[term, 0]), kind(tails[term, 1])
            term += 1
            partial = kind(0.0)
            for j in range(count):
                u = one + factor * d2[j]
                value = exp2(-exponent * log2(u))
                partial += value
                if grad:
                    slope[j] += rate * weight * exponent * value / u
            total += weight * partial
    return total


@njit(cache=True, inline="never")
def _block(gaussian, d2, count, scale, heads, tails, e, slope, grad):  # type: ignore[no-untyped-def]
    if gaussian:
        return _gaussian(d2, count, scale, heads, e, slope, grad)
    return _imq(d2, count, scale, heads, tails, e, slope, grad)


@njit(cache=True, parallel=True, nogil=True)
def _sums(a, b, same, gaussian, heads, tails, scale):  # type: ignore[no-untyped-def]
    """Sum of k over the pairs of a and b, over the pairs i < j if they are the same sample; shape (B, chunks)."""
    batch, n, m = a.shape[0], a.shape[2], b.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        d2, e, slope = np.empty(_BLOCK, a.dtype), np.empty(_BLOCK, a.dtype), np.empty(0, a.dtype)
        total = 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for start in range(i + 1 if same else 0, m, _BLOCK):
                stop = min(start + _BLOCK, m)
                _distances(a[p], i, b[p], start, stop, d2)
                total += _block(gaussian, d2, stop - start, scale[p], heads, tails, e, slope, False)
        result[p, chunk] = total
    return result


@njit(fastmath=_SUM, cache=True, inline="never")
def _pull(a, i, b, start, stop, slope, out):  # type: ignore[no-untyped-def]
    """Add the sum over j of slope[j] * (a_i - b_j) to out."""
    for k in range(a.shape[0]):
        own, partial = a[k, i], a.dtype.type(0.0)
        for j in range(stop - start):
            partial += slope[j] * (own - b[k, start + j])
        out[k] += partial


@njit(cache=True, parallel=True, nogil=True)
def _gradients(a, b, gaussian, heads, tails, scale, factor, gradient):  # type: ignore[no-untyped-def]
    """Sums of k over all pairs, shape (B, chunks); factor * sum over j of slope * (a_i - b_j) goes into gradient."""
    batch, n, m, d = a.shape[0], a.shape[2], b.shape[2], gradient.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        d2, e, slope = np.empty(_BLOCK, a.dtype), np.empty(_BLOCK, a.dtype), np.empty(_BLOCK, a.dtype)
        pull = np.empty(a.shape[1])
        total = 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            pull[:] = 0.0
            for start in range(0, m, _BLOCK):
                stop = min(start + _BLOCK, m)
                _distances(a[p], i, b[p], start, stop, d2)
                total += _block(gaussian, d2, stop - start, scale[p], heads, tails, e, slope, True)
                _pull(a[p], i, b[p], start, stop, slope, pull)
            for k in range(d):
                gradient[p, i, k] += factor[p] * pull[k]
        result[p, chunk] = total
    return result


def means(x: Array, y: Array, spec: KernelSpec, scale: Float64, parts: tuple[bool, bool, bool]) -> Float64:
    """Mean kernel values; see `reference.means`."""
    a, b = packed_pair(x, y, spread_limit(spec, scale, x))
    result = np.zeros((len(scale), 3))
    for part, (p, q, same) in enumerate(((a, a, True), (b, b, True), (a, b, False))):
        n, m = p.shape[2], q.shape[2]
        pairs = n * (n - 1) // 2 if same else n * m
        if parts[part] and pairs:
            result[:, part] = _sums(p, q, same, *_kernel(plan(spec)), scale).sum(axis=1) / pairs
    return result


def means_and_gradients(
    x: Array,
    y: Array,
    spec: KernelSpec,
    scale: Float64,
    weights: tuple[float, float, float],
    needs: tuple[bool, bool],
) -> tuple[Float64, Array, Array]:
    """Mean kernel values and gradients of their weighted sum; see `reference.means_and_gradients`."""
    a, b = packed_pair(x, y, spread_limit(spec, scale, x))
    kernel = _kernel(plan(spec))
    parts = tuple(weight != 0.0 and not need for weight, need in zip(weights, (*needs, True), strict=True))
    result = means(x, y, spec, scale, (parts[0], parts[1], not any(needs)))
    # d k(a_i, b_j) / d a_i = dk/ds * scale * 2 (a_i - b_j); a pair of one sample counts for both its ends.
    to_gradient = -2.0 * scale * (np.log(2.0) if spec.family == "gaussian" else 1.0)
    gradients = []
    for part, (p, q, need) in enumerate(((a, b, needs[0]), (b, a, needs[1]))):
        n, m = p.shape[2], q.shape[2]
        gradient = np.zeros((len(scale), n if need else 0, x.shape[2]))
        if need and weights[part] != 0.0 and n > 1:
            factor = to_gradient * (2.0 * weights[part] / (n * (n - 1)))
            sums = _gradients(p, p, *kernel, scale, factor, gradient).sum(axis=1)
            result[:, part] = (sums - n * spec.at_zero) / (n * (n - 1))
        if need:
            sums = _gradients(p, q, *kernel, scale, to_gradient * (weights[2] / (n * m)), gradient).sum(
                axis=1
            )
            result[:, 2] = sums / (n * m)
        gradients.append(gradient.astype(x.dtype, copy=False))
    return result, gradients[0], gradients[1]


def _kernel(chosen: Plan) -> tuple[bool, Float64, Float64]:
    return chosen.family == "gaussian", chosen.heads, chosen.tails
