# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Mean kernel values row by row in Numba, which the witness function takes, from the loops of `numba_cpu`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fastinv.kernels.mmd.kernel_functions import KernelSpec
from fastinv.kernels.mmd.numba_cpu import _kernel
from fastinv.kernels.mmd.numba_loops import BLOCK, block
from fastinv.kernels.mmd.pack import packed_pair, spread_limit
from fastinv.kernels.mmd.plan import plan

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# Rows of one task: few, since there may be few points and many samples.
_ROWS = 8


@njit(cache=True, parallel=True, nogil=True)
def _row_sums(a, b, heads, tails, scale):
    """Sum of k over the rows of b for each row of a, shape (B, rows of a)."""
    batch, n, m = a.shape[0], a.shape[2], b.shape[2]
    chunks = (n + _ROWS - 1) // _ROWS
    result = np.zeros((batch, n))
    for task in prange(batch * chunks):
        p, chunk = task // chunks, task % chunks
        base, e = np.zeros(BLOCK, a.dtype), np.empty(BLOCK, a.dtype)
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for start in range(0, m, BLOCK):
                size = min(BLOCK, m - start)
                result[p, i] += block(
                    a[p], i, b[p], start, base[:size], scale[p], heads, tails, e[:size], None
                )
    return result


def row_means(points: Array, y: Array, spec: KernelSpec, scale: Float64) -> Float64:
    """Mean of k over y at each point, shape (B, points); see `reference.row_means`."""
    a, b = packed_pair(points, y, spread_limit(spec, scale, points))
    means: Float64 = _row_sums(a, b, *_kernel(plan(spec)), scale) / y.shape[1]
    return means
