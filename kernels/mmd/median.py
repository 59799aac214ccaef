"""Median heuristic: the exact median over all pairs of the pooled sample, in streaming memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.mmd.arrays import check_finite
from fastinv.kernels.mmd.pack import packed_pair

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_BINS = 1 << 14
_KEEP = 1 << 18
_BLOCK_PAIRS = 1 << 18


def median_squared_distance(x: Array, y: Array, backend: str) -> Float64:
    """Squared median distance over all pairs of each pooled sample.

    Args:
        x: samples, shape (B, n, d).
        y: samples, shape (B, m, d).
        backend: the CPU back end that serves the call; native and numba share the selection in Numba.

    Returns:
        Shape (B,): the square of the median of the distances |a - b| over the (n + m)(n + m - 1) / 2 pairs.

    Raises:
        ValueError: if a problem's median distance is 0, which is no bandwidth.
    """
    if backend == "reference":
        check_finite(x, "x")
        check_finite(y, "y")
        result = np.array(
            [_median_distance(np.concatenate(pair).astype(np.float64)) for pair in zip(x, y, strict=True)]
        )
    else:
        from fastinv.kernels.mmd.numba_median import median_distances

        # A squared distance of this size is finite in the dtype, which is all that the selection needs.
        limit = float(np.sqrt((1e37 if x.dtype == np.float32 else 1e300) / (4.0 * x.shape[2])))
        result = median_distances(np.concatenate(packed_pair(x, y, limit), axis=2))
    if not (result > 0.0).all():
        problem = int(np.argmin(result > 0.0))
        raise ValueError(
            f"kernel 'median': at least half of all pairs of problem {problem} coincide, "
            "so their median distance 0 is no bandwidth; pass a Gaussian"
        )
    return result**2


def _squared_distances(pooled: Float64) -> Iterator[Float64]:
    """Squared distances of all pairs i < j, a block of rows at a time."""
    step = max(1, _BLOCK_PAIRS // len(pooled))
    for start in range(0, len(pooled), step):
        difference = pooled[start : start + step, None, :] - pooled[None, start:, :]
        s = np.einsum("ijk,ijk->ij", difference, difference)
        rows, columns = np.indices(s.shape, sparse=True)
        yield s[columns > rows]


def _median_distance(pooled: Float64) -> float:
    """Median by selection: histograms narrow the interval that holds the two middle ranks until it fits."""
    pairs = len(pooled) * (len(pooled) - 1) // 2
    low, high, below = 0.0, max(float(s.max(initial=0.0)) for s in _squared_distances(pooled)), 0
    inside = pairs
    ranks = ((pairs - 1) // 2, pairs // 2)
    while inside > _KEEP and high > low:
        edges = np.linspace(low, high, _BINS + 1)
        counts = sum(np.histogram(s, edges)[0] for s in _squared_distances(pooled))
        before = below + np.concatenate([[0], np.cumsum(counts)])
        first = int(np.searchsorted(before, ranks[0], side="right")) - 1
        last = int(np.searchsorted(before, ranks[1], side="right")) - 1
        if (first, last) == (0, _BINS - 1) or not low < edges[first + 1] < high:
            break
        # np.histogram bins are half open but for the last one: step back so that no edge value is lost.
        low, high, below = float(edges[first]), float(edges[last + 1]), int(before[first])
        inside = int(before[last + 1] - below)
    kept = [s[(s >= low) & (s <= high)] for s in _squared_distances(pooled)]
    ordered = np.sort(np.concatenate(kept))
    middle = [ordered[rank - below] for rank in ranks]
    return 0.5 * float(np.sqrt(middle[0]) + np.sqrt(middle[1]))
