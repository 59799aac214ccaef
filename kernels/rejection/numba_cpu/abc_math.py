# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Elementary functions that LLVM can vectorise: float32 for the search, float64 for what is returned.

Numba without SVML calls the C library once per number; these have no branches and no calls, so a loop over
them becomes SIMD code. Errors (absolute) are stated per function and tested.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import float32, int32, uint32, uint64

from fastinv.kernels.numba_bits import bits_of, from_bits
from fastinv.kernels.random.numba_cpu import philox
from fastinv.kernels.random.philox import Purpose

_ABC = int(Purpose.TOLERANCE_ABC)
_SHIFT32 = np.uint64(32)
# Sums are not reordered and infinities are kept: only fused multiply-adds are allowed.
FAST = {"contract"}
# A loop vectorises only where a division cannot raise.
vectorised = numba.njit(error_model="numpy", fastmath=FAST)

_f = np.float32
_ZERO, _HALF, _ONE, _TWO, _FOUR = _f(0.0), _f(0.5), _f(1.0), _f(2.0), _f(4.0)
_LN2 = _f(math.log(2.0))
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_MANTISSA_BITS = np.int32(23)
_EXPONENT_BIAS = np.int32(127)
_TOP_BIT = np.uint32(0x80000000)

# Minimax polynomials of z / (1 - 2v), v the probability beyond z: in w - CENTRE where
# w = -log(4 v (1 - v)) < 5, else in sqrt(w) - TAIL_CENTRE.
_SPLIT = _f(5.0)
_CENTRE, _TAIL_CENTRE = _f(2.4993925), _f(3.4406957)
_P = tuple(
    _f(c)
    for c in (
        2.123101538064098,
        0.3488096927940497,
        -0.0059042017816305125,
        -0.0017735181710414724,
        0.0003085199219389899,
        -6.296687450216582e-06,
        -4.811331818796264e-06,
        4.965096287578767e-07,
        2.4644033295218308e-08,
    )
)
_Q = tuple(
    _f(c)
    for c in (
        4.63261848710388,
        1.4240430069836831,
        0.005203598277101581,
        -0.0032388818148950437,
        0.0017899237687271207,
        -0.0013807593783632098,
        0.0008939711956378391,
        -0.00024647822367111235,
    )
)
# Error of normal32 over all words (tests/kernels/test_abc_math.py).
NORMAL32_ERROR = 4e-6

_TWO_OVER_PI = _f(2.0 / math.pi)
# pi / 2 in two parts, the first with few enough bits for k * part to be exact.
_HALF_PI_HIGH, _HALF_PI_LOW = _f(1.5703125), _f(math.pi / 2.0 - 1.5703125)


@numba.njit(inline="always", error_model="numpy")
def log32(x):
    """Natural logarithm of a normal positive float32, relative error 1e-6."""
    i = bits_of(x)
    exponent = int32(int32(i - _SQRT_HALF_BITS) >> _MANTISSA_BITS)
    m = from_bits(int32(i - int32(exponent << _MANTISSA_BITS)))
    t = (m - _ONE) / (m + _ONE)
    t2 = t * t
    series = _ONE + t2 * (_f(1.0 / 3.0) + t2 * (_f(0.2) + t2 * _f(1.0 / 7.0)))
    return float32(exponent) * _LN2 + _TWO * t * series


@numba.njit(inline="always", error_model="numpy")
def exp_minus32(x):
    """exp(-x) for 0 <= x; zero beyond 80; relative error 1e-6."""
    k = int32(x * _f(1.0 / math.log(2.0)) + _HALF)
    kf = float32(k)
    # ln 2 in two parts, as for the sine.
    r = kf * _f(0.693359375) - x + kf * _f(math.log(2.0) - 0.693359375)
    p = _ONE + r * (
        _ONE + r * (_HALF + r * (_f(1 / 6) + r * (_f(1 / 24) + r * (_f(1 / 120) + r * _f(1 / 720)))))
    )
    scale = from_bits(int32(int32(_EXPONENT_BIAS - min(k, int32(126))) << _MANTISSA_BITS))
    return p * scale if x < _f(80.0) else _ZERO


@numba.njit(inline="always", error_model="numpy")
def normal32(word):
    """Standard normal float32 from one word: the quantile function at (word + 1/2) / 2**32."""
    nearest_end = min(word, uint32(~word))
    v = (float32(nearest_end) + _HALF) * _f(2.0**-32)
    w = -log32(_FOUR * v * (_ONE - v))
    t = w - _CENTRE
    p = _P[8] * t + _P[7]
    p = p * t + _P[6]
    p = p * t + _P[5]
    p = p * t + _P[4]
    p = p * t + _P[3]
    p = p * t + _P[2]
    p = p * t + _P[1]
    p = p * t + _P[0]
    t = float32(math.sqrt(max(w, _ZERO))) - _TAIL_CENTRE
    q = _Q[7] * t + _Q[6]
    q = q * t + _Q[5]
    q = q * t + _Q[4]
    q = q * t + _Q[3]
    q = q * t + _Q[2]
    q = q * t + _Q[1]
    q = q * t + _Q[0]
    z = (p if w < _SPLIT else q) * (_ONE - _TWO * v)
    return -z if word < _TOP_BIT else z


@numba.njit(inline="always", error_model="numpy")
def sincos32(x):
    """Sine and cosine of a float32, |x| < 1000, error 1e-7 plus that of x itself."""
    k = int32(x * _TWO_OVER_PI + (_HALF if x > _ZERO else -_HALF))
    kf = float32(k)
    r = (x - kf * _HALF_PI_HIGH) - kf * _HALF_PI_LOW
    r2 = r * r
    s = r * (_ONE + r2 * (_f(-1.6666654611e-1) + r2 * (_f(8.3321608736e-3) + r2 * _f(-1.9515295891e-4))))
    c = _ONE + r2 * (
        -_HALF + r2 * (_f(4.1666645683e-2) + r2 * (_f(-1.3887316255e-3) + r2 * _f(2.4433157118e-5)))
    )
    odd = (k & int32(1)) != 0
    sine, cosine = (c, s) if odd else (s, c)
    sine = -sine if (k & int32(2)) != 0 else sine
    cosine = -cosine if (int32(k + int32(1)) & int32(2)) != 0 else cosine
    return sine, cosine


@numba.njit(cache=True, nogil=True)
def fill_words(first, block, k0, k1, out):
    """Four words for each of the simulations first, first + 1, ... into out (4, n)."""
    for j in range(out.shape[1]):
        i = uint64(first) + uint64(j)
        w0, w1, w2, w3 = philox(uint32(i), uint32(i >> _SHIFT32), block, _ABC, k0, k1)
        out[0, j], out[1, j], out[2, j], out[3, j] = w0, w1, w2, w3


@numba.njit(inline="always")
def words_of(index, block, k0, k1):
    """The four words of one simulation."""
    i = uint64(index)
    return philox(uint32(i), uint32(i >> _SHIFT32), block, _ABC, k0, k1)


@numba.njit(cache=True, error_model="numpy")
def normal64(p):
    """Quantile function of the standard normal, relative error 1e-15, for 0 < p < 1.

    Source: Wichura, *Algorithm AS 241: the percentage points of the normal distribution* (1988).
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        a = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        a = ((a * r + 6.7265770927008700853e4) * r + 4.5921953931549871457e4) * r + 1.3731693765509461125e4
        a = ((a * r + 1.9715909503065514427e3) * r + 1.3314166789178437745e2) * r + 3.3871328727963666080e0
        b = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        b = ((b * r + 3.9307895800092710610e4) * r + 2.1213794301586595867e4) * r + 5.3941960214247511077e3
        b = ((b * r + 6.8718700749205790830e2) * r + 4.2313330701600911252e1) * r + 1.0
        return q * a / b
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        a = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        a = (
            (a * r + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0
        ) * r + 3.64784832476320460504e0
        a = ((a * r + 5.76949722146069140550e0) * r + 4.63033784615654529590e0) * r + 1.42343711074968357734e0
        b = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        b = (
            (b * r + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1
        ) * r + 6.89767334985100004550e-1
        b = ((b * r + 1.67638483018380384940e0) * r + 2.05319162663775882187e0) * r + 1.0
    else:
        r -= 5.0
        a = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        a = (
            (a * r + 1.24266094738807843860e-3) * r + 2.65321895265761230930e-2
        ) * r + 2.96560571828504891230e-1
        a = ((a * r + 1.78482653991729133580e0) * r + 5.46378491116411436990e0) * r + 6.65790464350110377720e0
        b = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        b = (
            (b * r + 1.84631831751005468180e-5) * r + 7.86869131145613259100e-4
        ) * r + 1.48753612908506148525e-2
        b = ((b * r + 1.36929880922735805310e-1) * r + 5.99832206555887937690e-1) * r + 1.0
    return math.copysign(a / b, q)
