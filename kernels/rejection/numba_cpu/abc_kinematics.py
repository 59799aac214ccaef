# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Prior and forward process of the planar arm, fused: words of the random stream in, observations out."""

from __future__ import annotations

import numba
import numpy as np
from numba import float32

from fastinv.kernels.numba_arrays import copy_into
from fastinv.kernels.random.numba_cpu import uniform
from fastinv.kernels.rejection.numba_cpu.abc_double import normals, sincos
from fastinv.kernels.rejection.numba_cpu.abc_math import (
    FAST,
    fill_words,
    normal32,
    sincos32,
    words_of,
)

# Simulations whose words are kept at a time: they stay in the first-level cache.
BLOCK = 1024


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _simulate_block(words, arm, vertical, horizontal):
    l1, l2, l3 = float32(arm[0]), float32(arm[1]), float32(arm[2])
    s1, s2, s3, s4 = float32(arm[3]), float32(arm[4]), float32(arm[5]), float32(arm[6])
    w1, w2, w3, w4 = words[0], words[1], words[2], words[3]
    for j in range(len(vertical)):
        a = s2 * normal32(w2[j])
        b = a + s3 * normal32(w3[j])
        c = b + s4 * normal32(w4[j])
        sin_a, cos_a = sincos32(a)
        sin_b, cos_b = sincos32(b)
        sin_c, cos_c = sincos32(c)
        vertical[j] = s1 * normal32(w1[j]) + l1 * sin_a + l2 * sin_b + l3 * sin_c
        horizontal[j] = l1 * cos_a + l2 * cos_b + l3 * cos_c


@numba.njit(cache=True, nogil=True)
def simulate(first, arm, k0, k1, y):
    """Observations of the simulations first, first + 1, ... in float32.

    Args:
        first: number of the first simulation.
        arm: three lengths and four sigmas.
        k0: low word of the seed.
        k1: high word of the seed.
        y: output, float32, shape (2, n).
    """
    n = y.shape[1]
    words = np.empty((4, BLOCK), np.uint32)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        fill_words(first + start, 0, k0, k1, words)
        _simulate_block(words, arm, y[0][start:stop], y[1][start:stop])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _observe(x, arm, y):
    for j in range(x.shape[1]):
        a = x[1, j]
        b = a + x[2, j]
        c = b + x[3, j]
        sin_a, cos_a = sincos(a)
        sin_b, cos_b = sincos(b)
        sin_c, cos_c = sincos(c)
        y[0, j] = x[0, j] + arm[0] * sin_a + arm[1] * sin_b + arm[2] * sin_c
        y[1, j] = arm[0] * cos_a + arm[1] * cos_b + arm[2] * cos_c


@numba.njit(cache=True, nogil=True)
def draw(index, arm, k0, k1, x, y):
    """Parameters (k, 4) and observations (k, 2) of the simulations with these numbers, in float64."""
    words, p = np.empty((4, BLOCK), np.uint32), np.empty(BLOCK)
    columns, observed = np.empty((4, BLOCK)), np.empty((2, BLOCK))
    for start in range(0, len(index), BLOCK):
        count = min(BLOCK, len(index) - start)
        for j in range(count):
            words[0, j], words[1, j], words[2, j], words[3, j] = words_of(index[start + j], 0, k0, k1)
        for i in range(4):
            for j in range(count):
                p[j] = uniform(words[i, j])
            normals(p[:count], 0.0, arm[3 + i], columns[i, :count])
        _observe(columns[:, :count], arm, observed[:, :count])
        for i in range(4):
            copy_into(x[start : start + count, i], columns[i])
        for i in range(2):
            copy_into(y[start : start + count, i], observed[i])
