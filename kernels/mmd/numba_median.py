# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Median distance of pooled samples in Numba: exact selection in a few passes, in constant extra memory.

Each pass visits all pairs, counts the squared distances below an interval and keeps those inside it, thinned
evenly once the buffer is full. A thinned buffer is a sample: its quantiles around the wanted rank give the
next, about a hundred times narrower interval. A pass that misses the rank still tells on which side it lies,
so the result is exact whatever the sample was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fastinv.kernels.mmd.numba_loops import distances

Array = NDArray[Any]

_BUFFER = 1 << 16
_BLOCK = 512


@njit(fastmath={"reassoc", "contract"}, cache=True, inline="never")
def _count(d2, count, low, high):
    below, inside = 0, 0
    for j in range(count):
        below += d2[j] < low
        inside += (d2[j] >= low) & (d2[j] < high)
    return below, inside


@njit(cache=True)
def _pass(pooled, low, high, buffer):
    """Numbers of squared distances below low and in [low, high), how many were kept, and every which."""
    size = pooled.shape[1]
    d2 = np.empty(_BLOCK, pooled.dtype)
    below, inside, kept, stride = 0, 0, 0, 1
    for i in range(size):
        for start in range(i + 1, size, _BLOCK):
            count = min(_BLOCK, size - start)
            distances(pooled, i, pooled, start, pooled.shape[0], d2[:count])
            less, within = _count(d2, count, low, high)
            below += less
            if within == 0:
                continue
            for j in range(count):
                if low <= d2[j] < high:
                    if inside % stride == 0:
                        if kept == buffer.size:
                            kept = buffer.size // 2
                            for c in range(kept):
                                buffer[c] = buffer[2 * c]
                            stride *= 2
                        if inside % stride == 0:
                            buffer[kept] = d2[j]
                            kept += 1
                    inside += 1
    return below, inside, kept, stride


@njit(cache=True)
def _kth_smallest(pooled, rank, buffer):
    """The squared distance of this rank, counted from 0."""
    infinity = pooled.dtype.type(np.inf)
    low, high = pooled.dtype.type(0.0), infinity
    below, inside, kept, stride = _pass(pooled, low, high, buffer)
    while stride > 1 and np.nextafter(low, infinity) < high:
        ordered = np.sort(buffer[:kept])
        place = (rank - below) / inside * kept
        margin = 2.0 * np.sqrt(kept) + 2.0
        new_low = ordered[max(0, int(place - margin))]
        new_high = np.nextafter(ordered[min(kept - 1, int(place + margin))], infinity)
        if place - margin < 0.0:
            new_low = low
        if place + margin > kept - 1:
            new_high = high
        if new_low == low and new_high == high:
            new_low = ordered[kept // 2]
        new_below, new_inside, kept, stride = _pass(pooled, new_low, new_high, buffer)
        if rank < new_below:
            high = new_low
        elif rank >= new_below + new_inside:
            low = new_high
        else:
            low, high, below, inside = new_low, new_high, new_below, new_inside
            continue
        below, inside, kept, stride = _pass(pooled, low, high, buffer)
    if stride > 1:
        return low
    return np.sort(buffer[:kept])[rank - below]


@njit(cache=True, parallel=True, nogil=True)
def median_distances(pooled):
    """Median distance over the pairs of each packed sample, pooled of shape (B, D, N) with D a multiple of 4.

    The mean of the two middle distances where the number of pairs is even.
    """
    result = np.empty(pooled.shape[0])
    pairs = pooled.shape[2] * (pooled.shape[2] - 1) // 2
    for problem in prange(pooled.shape[0]):
        buffer = np.empty(min(_BUFFER, pairs), pooled.dtype)
        first = np.float64(_kth_smallest(pooled[problem], (pairs - 1) // 2, buffer))
        second = first
        if pairs % 2 == 0:
            second = np.float64(_kth_smallest(pooled[problem], pairs // 2, buffer))
        result[problem] = 0.5 * (np.sqrt(first) + np.sqrt(second))
    return result
