# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
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


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _distances(a, i, b, start, stop, out):
    """Squared distances from row i of a to rows start...stop of b; coordinates come in padded fours."""
    # Slices, so that indices start at 0: LLVM then proves them non-negative, and vectorises.
    for k in range(0, a.shape[0], 4):
        a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
        b0, b1 = b[k, start:stop], b[k + 1, start:stop]
        b2, b3 = b[k + 2, start:stop], b[k + 3, start:stop]
        if k == 0:
            for j in range(b0.size):
                t0, t1, t2, t3 = a0 - b0[j], a1 - b1[j], a2 - b2[j], a3 - b3[j]
                out[j] = t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3
        else:
            for j in range(b0.size):
                t0, t1, t2, t3 = a0 - b0[j], a1 - b1[j], a2 - b2[j], a3 - b3[j]
                out[j] += t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add_exponential(d2, rate, squarings, weight, e, slope, grad):
    """Sum of weight * e after the squarings; a rate of 0 keeps e. `weight` and `slope` share their units."""
    if rate < 0.0:
        for j in range(d2.size):
            e[j] = exp2(d2[j] * rate)
    for _ in range(squarings):
        for j in range(d2.size):
            e[j] *= e[j]
    total = d2.dtype.type(0.0)
    for j in range(d2.size):
        total += e[j]
    if grad:
        for j in range(d2.size):
            slope[j] += weight * e[j]
    return total


@njit(cache=True)
def _gaussian(d2, scale, heads, work, grad):
    """Sum of the kernel over a block; with `grad`, work[0] receives -dk/ds / ln 2."""
    kind = d2.dtype.type
    slope, e = work[0, : d2.size], work[1, : d2.size]
    if grad:
        slope[:] = kind(0.0)
    total, rate = 0.0, 0.0
    for step in range(heads.shape[0]):
        start, squarings, weight = heads[step, 0], int(heads[step, 1]), heads[step, 2]
        rate = (start if start > 0.0 else rate) * 2.0**squarings
        total += weight * _add_exponential(
            d2, kind(-start * scale), squarings, kind(weight * rate), e, slope, grad
        )
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _inverse_root(d2, factor, root):
    one = d2.dtype.type(1.0)
    for j in range(d2.size):
        root[j] = one / np.sqrt(one + factor * d2[j])


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add_inverse(d2, factor, c):
    """Sum of c / u, without the square root that other powers take."""
    one, total = d2.dtype.type(1.0), d2.dtype.type(0.0)
    for j in range(d2.size):
        total += c / (one + factor * d2[j])
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add_inverse_slope(d2, factor, c, steep, slope):
    """Sum of c / u; steep / u^2 is added to slope."""
    one, total = d2.dtype.type(1.0), d2.dtype.type(0.0)
    for j in range(d2.size):
        inverse = one / (one + factor * d2[j])
        total += c * inverse
        slope[j] += steep * (inverse * inverse)
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add_polynomial(root, coefficients, p, steep, grad):
    """Sum of c_1 root + c_2 root^2 + ..., its slope's sum of n/2 c_n root^n added to steep."""
    kind = root.dtype.type
    degree = coefficients.size
    while degree > 0 and coefficients[degree - 1] == 0.0:
        degree -= 1
    total = kind(0.0)
    if degree == 0:
        return total
    p[:] = kind(coefficients[degree - 1])
    for n in range(degree - 1, 0, -1):
        c = kind(coefficients[n - 1])
        for j in range(root.size):
            p[j] = p[j] * root[j] + c
    for j in range(root.size):
        total += p[j] * root[j]
    if grad:
        p[:] = kind(0.5 * degree * coefficients[degree - 1])
        for n in range(degree - 1, 0, -1):
            c = kind(0.5 * n * coefficients[n - 1])
            for j in range(root.size):
                p[j] = p[j] * root[j] + c
        for j in range(root.size):
            steep[j] += p[j] * root[j]
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _logarithm(d2, factor, out):
    one = d2.dtype.type(1.0)
    for j in range(d2.size):
        out[j] = log2(one + factor * d2[j])


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add_power(logarithm, exponent, weight, p, steep, grad):
    """Sum of u^(-exponent); weight * exponent * u^(-exponent) is added to steep."""
    for j in range(logarithm.size):
        p[j] = exp2(-exponent * logarithm[j])
    total = logarithm.dtype.type(0.0)
    for j in range(logarithm.size):
        total += p[j]
    if grad:
        for j in range(logarithm.size):
            steep[j] += weight * exponent * p[j]
    return total


@njit(cache=True)
def _only_inverse(head):
    """Whether a group of terms is c / u alone, which each term of the kernel `multiscale` is."""
    return head[1] == 0.0 and head[2] == 0.0 and head[3] != 0.0 and not np.any(head[4:])


@njit(cache=True)
def _imq(d2, scale, heads, tails, work, grad):
    """Sum of the kernel over a block; with `grad`, work[0] receives -dk/ds."""
    kind = d2.dtype.type
    slope, steep, root = work[0, : d2.size], work[1, : d2.size], work[2, : d2.size]
    p, u = work[3, : d2.size], work[4, : d2.size]
    if grad:
        slope[:] = kind(0.0)
    total, term = 0.0, 0
    for group in range(heads.shape[0]):
        rate, c = heads[group, 0], heads[group, 3]
        if _only_inverse(heads[group]):
            if grad:
                total += _add_inverse_slope(d2, kind(rate * scale), kind(c), kind(rate * c), slope)
            else:
                total += _add_inverse(d2, kind(rate * scale), kind(c))
            continue
        steep[:] = kind(0.0)
        _inverse_root(d2, kind(rate * scale), root)
        total += _add_polynomial(root, heads[group, 2:], p, steep, grad)
        if heads[group, 1] > 0.0:
            _logarithm(d2, kind(rate * scale), u)
        for _ in range(int(heads[group, 1])):
            weight, exponent = tails[term, 0], tails[term, 1]
            total += weight * _add_power(u, kind(exponent), kind(weight), p, steep, grad)
            term += 1
        if grad:
            for j in range(d2.size):
                slope[j] += kind(rate) * steep[j] * (root[j] * root[j])
    return total


@njit(cache=True, inline="never")
def _block(gaussian, d2, scale, heads, tails, work, grad):
    if gaussian:
        return _gaussian(d2, scale, heads, work, grad)
    return _imq(d2, scale, heads, tails, work, grad)


@njit(cache=True, parallel=True, nogil=True)
def _sums(a, b, same, gaussian, heads, tails, scale):
    """Sums of k over the pairs of a and b, the pairs i < j within one sample; shape (B, chunks)."""
    batch, n, m = a.shape[0], a.shape[2], b.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        d2, work = np.empty(_BLOCK, a.dtype), np.empty((5, _BLOCK), a.dtype)
        total = 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for start in range(i + 1 if same else 0, m, _BLOCK):
                stop = min(start + _BLOCK, m)
                _distances(a[p], i, b[p], start, stop, d2)
                total += _block(gaussian, d2[: stop - start], scale[p], heads, tails, work, False)
        result[p, chunk] = total
    return result


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _pull(a, i, b, start, slope, out):
    """Add the sum over j of slope[j] * (a_i - b_j) to out."""
    for k in range(a.shape[0]):
        own, other, partial = a[k, i], b[k, start : start + slope.size], a.dtype.type(0.0)
        for j in range(slope.size):
            partial += slope[j] * (own - other[j])
        out[k] += partial


@njit(cache=True, parallel=True, nogil=True)
def _gradients(a, b, gaussian, heads, tails, scale, factor, gradient):
    """Sums of k, shape (B, chunks); gradient gets factor * sum over j of slope * (a_i - b_j)."""
    batch, n, m, d = a.shape[0], a.shape[2], b.shape[2], gradient.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        d2, work = np.empty(_BLOCK, a.dtype), np.empty((5, _BLOCK), a.dtype)
        pull = np.empty(a.shape[1])
        total = 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            pull[:] = 0.0
            for start in range(0, m, _BLOCK):
                stop = min(start + _BLOCK, m)
                _distances(a[p], i, b[p], start, stop, d2)
                total += _block(gaussian, d2[: stop - start], scale[p], heads, tails, work, True)
                _pull(a[p], i, b[p], start, work[0, : stop - start], pull)
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
