# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""One row against a block of columns in Numba: fused loops that LLVM vectorises across the columns.

Each loop goes from coordinates to a sum of kernel values without buffers in between. Loops also serve
gradients: with an array `slope` they add -dk/ds to it, with None, which Numba prunes, they do not.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from fastinv.kernels.mmd.numba_math import exp2, log2

BLOCK = 1024
"""Columns of one block: its buffers stay in the first-level cache, and its sums in the samples' own dtype."""

# `reassoc` lets LLVM vectorise the sums, `afn` takes the CPU's estimate of 1 / sqrt(u), refined.
_SUM = {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"}
_ROOT = _SUM | {"afn"}


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def distances(a, i, b, start, dimensions, out):
    """Squared distances of row i of a to rows of b from `start` on, in the first dimensions, 4 at a time."""
    # Slices, so that indices start at 0: LLVM then proves them non-negative, and vectorises.
    stop = start + out.size
    for k in range(0, dimensions, 4):
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


@njit(fastmath=_SUM, error_model="numpy", forceinline=True)
def _squared(base, a0, a1, a2, a3, b0, b1, b2, b3):
    t0, t1, t2, t3 = a0 - b0, a1 - b1, a2 - b2, a3 - b3
    return base + t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _exponential(a, i, b, start, base, rate, e):
    """Sum of 2^(rate * d^2), whose terms are kept in e unless that is None."""
    total = base.dtype.type(0.0)
    k, stop = a.shape[0] - 4, start + base.size
    a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
    b0, b1, b2, b3 = b[k, start:stop], b[k + 1, start:stop], b[k + 2, start:stop], b[k + 3, start:stop]
    for j in range(base.size):
        value = exp2(rate * _squared(base[j], a0, a1, a2, a3, b0[j], b1[j], b2[j], b3[j]))
        if e is not None:
            e[j] = value
        total += value
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _square(e, times):
    """Sum of e after it was squared once or more."""
    for _ in range(times - 1):
        for j in range(e.size):
            e[j] *= e[j]
    total = e.dtype.type(0.0)
    for j in range(e.size):
        e[j] *= e[j]
        total += e[j]
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _add(factor, e, slope):
    for j in range(e.size):
        slope[j] += factor * e[j]


@njit(cache=True)
def _gaussian(a, i, b, start, base, scale, heads, e, slope):
    """Sum of the Gaussians over a block; -dk/ds / ln 2 is added to slope."""
    kind = base.dtype.type
    total, rate, steps = 0.0, 0.0, heads.shape[0]
    for step in range(steps):
        fresh, squarings, weight = heads[step, 0], int(heads[step, 1]), heads[step, 2]
        if fresh == 0.0:
            rate *= 2.0**squarings
            total += weight * _square(e, squarings)
        else:
            rate = fresh
            if slope is None and (step + 1 == steps or heads[step + 1, 0] > 0.0):
                total += weight * _exponential(a, i, b, start, base, kind(-rate * scale), None)
            else:
                total += weight * _exponential(a, i, b, start, base, kind(-rate * scale), e)
        if slope is not None:
            _add(kind(weight * rate), e, slope)
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _inverse(a, i, b, start, base, factor, c, steep, slope):
    """Sum of c / u, u = 1 + factor * d^2; steep / u^2 is added to slope."""
    one, total = base.dtype.type(1.0), base.dtype.type(0.0)
    k, stop = a.shape[0] - 4, start + base.size
    a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
    b0, b1, b2, b3 = b[k, start:stop], b[k + 1, start:stop], b[k + 2, start:stop], b[k + 3, start:stop]
    for j in range(base.size):
        inverse = one / (one + factor * _squared(base[j], a0, a1, a2, a3, b0[j], b1[j], b2[j], b3[j]))
        total += c * inverse
        if slope is not None:
            slope[j] += steep * (inverse * inverse)
    return total


@njit(fastmath=_ROOT, error_model="numpy", cache=True, inline="never")
def _powers(a, i, b, start, base, factor, high, c, steep, slope):
    """Sum of c_1 r + ... + c_4 r^4, r = 1 / sqrt(u), or with `high` of c_1 r^5 + ... + c_4 r^8.

    The same polynomial with the coefficients `steep`, times r^2, is added to slope.
    """
    one, total = base.dtype.type(1.0), base.dtype.type(0.0)
    c1, c2, c3, c4 = c
    s1, s2, s3, s4 = steep
    k, stop = a.shape[0] - 4, start + base.size
    a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
    b0, b1, b2, b3 = b[k, start:stop], b[k + 1, start:stop], b[k + 2, start:stop], b[k + 3, start:stop]
    for j in range(base.size):
        root = one / np.sqrt(one + factor * _squared(base[j], a0, a1, a2, a3, b0[j], b1[j], b2[j], b3[j]))
        square = root * root
        lowest = root * (square * square) if high else root
        total += (((c4 * root + c3) * root + c2) * root + c1) * lowest
        if slope is not None:
            slope[j] += (((s4 * root + s3) * root + s2) * root + s1) * (lowest * square)
    return total


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def _power(a, i, b, start, base, factor, power, steep, slope):
    """Sum of u^(-power); steep * u^(-power - 1) is added to slope."""
    one, total = base.dtype.type(1.0), base.dtype.type(0.0)
    k, stop = a.shape[0] - 4, start + base.size
    a0, a1, a2, a3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
    b0, b1, b2, b3 = b[k, start:stop], b[k + 1, start:stop], b[k + 2, start:stop], b[k + 3, start:stop]
    for j in range(base.size):
        u = one + factor * _squared(base[j], a0, a1, a2, a3, b0[j], b1[j], b2[j], b3[j])
        value = exp2(-power * log2(u))
        total += value
        if slope is not None:
            slope[j] += steep * value / u
    return total


@njit(cache=True)
def _four(coefficients, first, factor, slope, kind):
    """Coefficients of the powers first + 1 ... first + 4 of r, or of their derivatives."""
    f = factor * coefficients[first : first + 4]
    if slope:
        f = f * (0.5 * np.arange(first + 1, first + 5))
    return kind(f[0]), kind(f[1]), kind(f[2]), kind(f[3])


@njit(cache=True)
def _multiquadrics(a, i, b, start, base, scale, heads, tails, slope):
    """Sum of the inverse multiquadrics over a block; -dk/ds is added to slope."""
    kind = base.dtype.type
    total, term = 0.0, 0
    for group in range(heads.shape[0]):
        rate, c = heads[group, 0], heads[group, 2:]
        factor = kind(rate * scale)
        if c[1] != 0.0 and c[0] == 0.0 and not np.any(c[2:]):
            total += _inverse(a, i, b, start, base, factor, kind(c[1]), kind(rate * c[1]), slope)
        else:
            for first in (0, 4):
                if np.any(c[first : first + 4]):
                    four = _four(c, first, 1.0, False, kind)
                    steep = _four(c, first, rate, True, kind)
                    total += _powers(a, i, b, start, base, factor, first == 4, four, steep, slope)
        for _ in range(int(heads[group, 1])):
            weight, power = tails[term, 0], tails[term, 1]
            total += weight * _power(
                a, i, b, start, base, factor, kind(power), kind(rate * weight * power), slope
            )
            term += 1
    return total


@njit(cache=True, inline="never")
def block(a, i, b, start, base, scale, heads, tails, e, slope):
    """Sum of the kernel over a block, `tails` being None for Gaussians; slope may be None.

    `e` is scratch; so is `base`, which has to be zero where there are no more than four dimensions.
    """
    if a.shape[0] > 4:
        distances(a, i, b, start, a.shape[0] - 4, base)
    if slope is not None:
        slope[:] = 0.0
    if tails is None:
        return _gaussian(a, i, b, start, base, scale, heads, e, slope)
    return _multiquadrics(a, i, b, start, base, scale, heads, tails, slope)


@njit(fastmath=_SUM, error_model="numpy", cache=True, inline="never")
def pull(a, i, b, start, slope, out):
    """Add the sum over j of slope[j] * (a_i - b_j) to out."""
    for k in range(a.shape[0]):
        own, other, partial = a[k, i], b[k, start : start + slope.size], a.dtype.type(0.0)
        for j in range(slope.size):
            partial += slope[j] * (own - other[j])
        out[k] += partial
