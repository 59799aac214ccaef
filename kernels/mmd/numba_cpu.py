# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""MMD in Numba: the fast CPU path on machines without the C++ extension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fastinv.kernels.mmd.kernel_functions import KernelSpec
from fastinv.kernels.mmd.numba_loops import BLOCK, block, pull
from fastinv.kernels.mmd.pack import packed_pair, spread_limit
from fastinv.kernels.mmd.plan import Plan, plan

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# Rows of one task: enough work to hide the scheduling, small enough to share a single problem.
_ROWS = 64


@njit(cache=True, parallel=True, nogil=True)
def _sums(a, b, same, heads, tails, scale):
    """Sums of k over the pairs of a and b, the pairs i < j within one sample; shape (B, chunks)."""
    batch, n, m = a.shape[0], a.shape[2], b.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        base, e = np.zeros(BLOCK, a.dtype), np.empty(BLOCK, a.dtype)
        own, other, total = a[p], b[p], 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for start in range(i + 1 if same else 0, m, BLOCK):
                size = min(BLOCK, m - start)
                total += block(own, i, other, start, base[:size], scale[p], heads, tails, e[:size], None)
        result[p, chunk] = total
    return result


@njit(cache=True, parallel=True, nogil=True)
def _gradients(a, b, heads, tails, scale, factor, gradient):
    """Sums of k, shape (B, chunks); gradient gets factor * sum over j of slope * (a_i - b_j)."""
    batch, n, m, d = a.shape[0], a.shape[2], b.shape[2], gradient.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, chunks))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        base, e, slope = np.zeros(BLOCK, a.dtype), np.empty(BLOCK, a.dtype), np.empty(BLOCK, a.dtype)
        force = np.empty(a.shape[1])
        own, other, total = a[p], b[p], 0.0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            force[:] = 0.0
            for start in range(0, m, BLOCK):
                size = min(BLOCK, m - start)
                steep = slope[:size]
                total += block(own, i, other, start, base[:size], scale[p], heads, tails, e[:size], steep)
                pull(own, i, other, start, steep, force)
            for k in range(d):
                gradient[p, i, k] += factor[p] * force[k]
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


def _kernel(chosen: Plan) -> tuple[Float64, Float64 | None]:
    """Heads and tails of a plan; without tails, Numba compiles nothing but Gaussians."""
    return chosen.heads, None if chosen.family == "gaussian" else chosen.tails
