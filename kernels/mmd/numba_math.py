# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""exp2 and log2 as polynomials that LLVM vectorises across pairs.

Numba's own exp and power call scalar library functions, which stop the vectoriser. Each function is written
once per dtype; the flags leave out re-association, which would fold the rounding by a large constant away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from fastinv.kernels.numba_bits import bits_of, from_bits

_FLAGS = {"contract", "nnan", "ninf", "nsz", "arcp"}

# Taylor coefficients ln(2)^k / k! suffice on [-1/2, 1/2]: the next term is below the dtype's rounding.
_LN2 = float(np.log(2.0))
_E = [1.0]
for _k in range(1, 14):
    _E.append(_E[-1] * _LN2 / _k)
_E32 = tuple(np.float32(c) for c in _E[:8])
_E64 = tuple(_E)
(_F1, _F2, _F3, _F4, _F5, _F6) = _E32[1:7]
(_D1, _D2, _D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10, _D11, _D12) = _E64[1:13]
_MAGIC32 = np.float32(1.5 * 2**23)
_MAGIC64 = 1.5 * 2.0**52
_ONE32 = np.float32(1.0)
_LOW32 = np.float32(-126.0)


@njit(fastmath=_FLAGS, error_model="numpy", forceinline=True)
def _exp2_32(t):
    t = max(t, _LOW32)
    shifted = t + _MAGIC32
    f = t - (shifted - _MAGIC32)
    p = _F6
    p = p * f + _F5
    p = p * f + _F4
    p = p * f + _F3
    p = p * f + _F2
    p = p * f + _F1
    p = p * f + _ONE32
    return from_bits(np.int32(bits_of(p) + np.int32(bits_of(shifted) << np.int32(23))))


@njit(fastmath=_FLAGS, error_model="numpy", forceinline=True)
def _exp2_64(t):
    t = max(t, -1022.0)
    shifted = t + _MAGIC64
    f = t - (shifted - _MAGIC64)
    p = _D12
    p = p * f + _D11
    p = p * f + _D10
    p = p * f + _D9
    p = p * f + _D8
    p = p * f + _D7
    p = p * f + _D6
    p = p * f + _D5
    p = p * f + _D4
    p = p * f + _D3
    p = p * f + _D2
    p = p * f + _D1
    p = p * f + 1.0
    return from_bits(bits_of(p) + (bits_of(shifted) << 52))


# log2(u) = e + log2(m), m in [sqrt(1/2), sqrt(2)), with z = (m - 1) / (m + 1) and |z| <= 0.1716:
# log2(m) = 2 / ln(2) * (z + z^3/3 + z^5/5 + ...).
_L = [2.0 / _LN2 / (2 * k + 1) for k in range(10)]
(_G0, _G1, _G2, _G3, _G4) = tuple(np.float32(c) for c in _L[:5])
(_H0, _H1, _H2, _H3, _H4, _H5, _H6, _H7, _H8, _H9) = tuple(_L)
_HALF_ROOT32 = np.int32(0x3F3504F3)
_HALF_ROOT64 = np.int64(0x3FE6A09E667F3BCD)


@njit(fastmath=_FLAGS, error_model="numpy", forceinline=True)
def _log2_32(u):
    bits = bits_of(u)
    exponent = np.int32(np.int32(bits - _HALF_ROOT32) >> np.int32(23))
    m = from_bits(np.int32(bits - np.int32(exponent << np.int32(23))))
    z = (m - _ONE32) / (m + _ONE32)
    q = z * z
    p = _G4
    p = p * q + _G3
    p = p * q + _G2
    p = p * q + _G1
    p = p * q + _G0
    return p * z + np.float32(exponent)


@njit(fastmath=_FLAGS, error_model="numpy", forceinline=True)
def _log2_64(u):
    bits = bits_of(u)
    exponent = (bits - _HALF_ROOT64) >> 52
    m = from_bits(bits - (exponent << 52))
    z = (m - 1.0) / (m + 1.0)
    q = z * z
    p = _H9
    p = p * q + _H8
    p = p * q + _H7
    p = p * q + _H6
    p = p * q + _H5
    p = p * q + _H4
    p = p * q + _H3
    p = p * q + _H2
    p = p * q + _H1
    p = p * q + _H0
    return p * z + np.float64(exponent)


def exp2(t: Any) -> Any:
    """2^t for t <= 0, in the dtype of t; below the normal numbers the result stays at the smallest one."""
    raise NotImplementedError("compiled by Numba only")


def log2(u: Any) -> Any:
    """log2(u) for normal u >= 1, in the dtype of u."""
    raise NotImplementedError("compiled by Numba only")


@overload(exp2, jit_options={"fastmath": _FLAGS, "error_model": "numpy", "forceinline": True})
def _exp2(t):
    if t == types.float32:
        return lambda t: _exp2_32(t)
    return lambda t: _exp2_64(t)


@overload(log2, jit_options={"fastmath": _FLAGS, "error_model": "numpy", "forceinline": True})
def _log2(u):
    if u == types.float32:
        return lambda u: _log2_32(u)
    return lambda u: _log2_64(u)
