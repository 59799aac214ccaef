# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Philox 4x32-10 for Numba kernels; the definition is in `fastinv.kernels.random.philox`."""

from __future__ import annotations

import numba
import numpy as np
from numba import uint32, uint64

from fastinv.kernels.random.philox import MULTIPLIERS, ROUNDS, WEYL

_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint32(WEYL[0]), np.uint32(WEYL[1])


@numba.njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Four uint32 words of the counter (c0, c1, c2, c3) under the key (k0, k1)."""
    w0, w1, w2, w3 = uint32(c0), uint32(c1), uint32(c2), uint32(c3)
    k0, k1 = uint32(k0), uint32(k1)
    for _ in range(ROUNDS):
        p0 = _M0 * uint64(w0)
        p1 = _M1 * uint64(w2)
        w0, w1 = uint32(p1 >> uint64(32)) ^ w1 ^ k0, uint32(p1)
        w2, w3 = uint32(p0 >> uint64(32)) ^ w3 ^ k1, uint32(p0)
        k0, k1 = uint32(k0 + _W0), uint32(k1 + _W1)
    return w0, w1, w2, w3


@numba.njit(inline="always")
def uniform(word):
    """Uniform float64 in (0, 1) from one word."""
    return (np.float64(word) + 0.5) * 2.0**-32
