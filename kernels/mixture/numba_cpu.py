# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Mixtures in Numba: from a network's outputs to samples in one loop, reading only what is drawn."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float32]


@njit(cache=True, nogil=True)
def _cumulative(outputs):
    """Unnormalised distribution functions of the components, float64, shape (M, K)."""
    mixtures, components, _ = outputs.shape
    result = np.empty((mixtures, components))
    for m in range(mixtures):
        largest = outputs[m, 0, 0]
        for k in range(1, components):
            largest = max(largest, outputs[m, k, 0])
        total = 0.0
        for k in range(components):
            total += math.exp(outputs[m, k, 0] - largest)
            result[m, k] = total
    return result


@njit(cache=True, nogil=True)
def _draw(outputs, row, uniform, normal, sharp, wide, x):
    _, components, _ = outputs.shape
    size, dim = normal.shape
    cumulative = _cumulative(outputs)
    # Standard deviations exp(-log-diagonal) of the components that were drawn before.
    known = np.zeros(cumulative.shape, np.bool_)
    deviations = np.empty((*cumulative.shape, dim))
    solved = np.empty(dim)
    for s in range(size):
        m = row[s]
        k = np.searchsorted(cumulative[m], uniform[s] * cumulative[m, -1])
        k = min(k, components - 1)
        chosen = outputs[m, k]
        if not known[m, k]:
            known[m, k] = True
            for j in range(dim):
                diagonal = chosen[1 + dim + j]
                outer = wide if diagonal < 0.0 else sharp
                diagonal = outer * math.atan(diagonal / outer)
                deviations[m, k, j] = math.exp(-diagonal)
        for j in range(dim - 1, -1, -1):
            # L^T e = normal with rows of L in units of their diagonal, for e over its deviation.
            value = np.float64(normal[s, j])
            for i in range(j + 1, dim):
                value -= chosen[1 + 2 * dim + i * (i - 1) // 2 + j] * solved[i]
            solved[j] = value
            x[s, j] = chosen[1 + j] + value * deviations[m, k, j]


def draw(
    outputs: Array,
    row: NDArray[np.int64],
    uniform: Array,
    normal: Array,
    *,
    sharp: float,
    wide: float,
) -> Array:
    """Samples of mixtures N(mu_k, (L_k L_k^T)^-1).

    Args:
        outputs: shape (M, K, 1 + 2 D + D (D - 1) / 2): of each component the logarithm of its weight, not
            normalised, its mean, the log-diagonal of L before it is bounded, and the entries of L below the
            diagonal, row by row and over their row's diagonal.
        row: mixture of each sample, shape (S,), each in [0, M).
        uniform: what decides each sample's component, in (0, 1), shape (S,).
        normal: shape (S, D).
        sharp: bound of the log-diagonal, see `fastinv.models.layers.mixture.Bounds`.
        wide: bound of its negative.

    Returns:
        Shape (S, D).
    """
    x = np.empty_like(normal)
    _draw(outputs, row, uniform, normal, 2.0 * sharp / math.pi, 2.0 * wide / math.pi, x)
    return x
