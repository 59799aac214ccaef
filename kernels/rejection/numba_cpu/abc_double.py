# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Float64 functions without branches and calls: unlike a C library's, they become SIMD code in loops."""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from fastinv.kernels.numba_bits import bits_of, from_bits
from fastinv.kernels.rejection.numba_cpu.abc_math import FAST, normal64

# Adding 1.5 * 2**52 leaves no bits below one: the sum's last bits are the nearest whole number.
_ROUNDER = 1.5 * 2.0**52
# pi / 2 in three parts.
_FIRST, _SECOND, _THIRD = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33
FARTHEST_ANGLE = 1e15
# Within it the quantile function of the normal is one rational function (AS 241).
CENTRAL = 0.425
# Below exp(-25) its third branch begins, which is hardly ever met.
FAR_TAIL = 1.4e-11
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)


@intrinsic
def _fma(typingctx, a, b, c):
    """a * b + c, rounded once."""

    def generate(context, builder, signature, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


@numba.njit(error_model="numpy", fastmath=FAST)
def sincos(x):
    """Sine and cosine to 4e-16; NaN beyond FARTHEST_ANGLE, where the spacing of float64 is a tenth of a turn.

    Polynomials: FreeBSD's msun.
    """
    rounded = x * (2.0 / math.pi) + _ROUNDER
    quadrant = bits_of(rounded)
    k = rounded - _ROUNDER
    r = _fma(-k, _THIRD, _fma(-k, _SECOND, _fma(-k, _FIRST, x)))
    z = r * r
    s = z * 1.58969099521155010221e-10 - 2.50507602534068634195e-08
    s = (s * z + 2.75573137070700676789e-06) * z - 1.98412698298579493134e-04
    s = (s * z + 8.33333333332248946124e-03) * z - 1.66666666666666324348e-01
    s = r + r * z * s
    c = z * -1.13596475577881948265e-11 + 2.08757232129817482790e-09
    c = (c * z - 2.75573143513906633035e-07) * z + 2.48015872894767294178e-05
    c = (c * z - 1.38888888888741095749e-03) * z + 4.16666666666666019037e-02
    c = 1.0 - (0.5 * z - z * z * c)
    odd = (quadrant & 1) != 0
    sine, cosine = (c, s) if odd else (s, c)
    sine = from_bits(bits_of(sine) ^ ((quadrant & 2) << 62))
    cosine = from_bits(bits_of(cosine) ^ (((quadrant + 1) & 2) << 62))
    known = abs(x) <= FARTHEST_ANGLE
    return (sine if known else np.nan), (cosine if known else np.nan)


@numba.njit(error_model="numpy", fastmath=FAST)
def sin(x):
    """Sine; see `sincos`."""
    return sincos(x)[0]


@numba.njit(error_model="numpy", fastmath=FAST)
def cos(x):
    """Cosine; see `sincos`."""
    return sincos(x)[1]


@numba.njit(error_model="numpy", fastmath=FAST)
def _log(x):
    """Natural logarithm of a normal positive number, to one unit in the last place (FreeBSD's msun)."""
    # x = 2**k m with sqrt(1/2) <= m < sqrt(2).
    shifted = bits_of(x) - _ROOT_HALF
    k = np.float64(shifted >> 52)
    f = from_bits((shifted & 0x000FFFFFFFFFFFFF) + _ROOT_HALF) - 1.0
    s = f / (f + 2.0)
    z = s * s
    r = z * 1.479819860511658591e-01 + 1.531383769920937332e-01
    r = (r * z + 1.818357216161805012e-01) * z + 2.222219843214978396e-01
    r = (r * z + 2.857142874366239149e-01) * z + 3.999999999940941908e-01
    r = z * (r * z + 6.666666666666735130e-01)
    half = 0.5 * f * f
    return k * 6.93147180369123816490e-01 - ((half - (s * (half + r) + k * 1.90821492927058770002e-10)) - f)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _central_normals(p, mean, sigma, out):
    for j in range(len(p)):
        q = p[j] - 0.5
        r = 0.180625 - q * q
        a = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        a = ((a * r + 6.7265770927008700853e4) * r + 4.5921953931549871457e4) * r + 1.3731693765509461125e4
        a = ((a * r + 1.9715909503065514427e3) * r + 1.3314166789178437745e2) * r + 3.3871328727963666080e0
        b = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        b = ((b * r + 3.9307895800092710610e4) * r + 2.1213794301586595867e4) * r + 5.3941960214247511077e3
        b = ((b * r + 6.8718700749205790830e2) * r + 4.2313330701600911252e1) * r + 1.0
        out[j] = mean + sigma * (q * a / b)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _tail_normals(p, mean, sigma, out):
    for j in range(len(p)):
        r = math.sqrt(-_log(min(p[j], 1.0 - p[j]))) - 1.6
        a = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        a = (a * r + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0
        a = (a * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0
        a = (a * r + 4.63033784615654529590e0) * r + 1.42343711074968357734e0
        b = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        b = (b * r + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1
        b = (b * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0
        b = (b * r + 2.05319162663775882187e0) * r + 1.0
        z = a / b
        out[j] = mean + sigma * (-z if p[j] < 0.5 else z)


@numba.njit(cache=True, nogil=True)
def normals(p, mean, sigma, out):
    """Normal quantiles of many probabilities: as `normal64`, but in SIMD.

    Args:
        p: probabilities in (0, 1), shape (n,).
        mean: of the distribution.
        sigma: its standard deviation.
        out: output, shape (n,).
    """
    _central_normals(p, mean, sigma, out)
    # The others are gathered, without a branch that could not be predicted.
    place, count = np.empty(len(p) + 1, np.int32), 0
    for j in range(len(p)):
        place[count] = j
        count += abs(p[j] - 0.5) > CENTRAL
    tail, z = np.empty(count), np.empty(count)
    for i in range(count):
        tail[i] = p[place[i]]
    _tail_normals(tail, mean, sigma, z)
    for i in range(count):
        far = min(tail[i], 1.0 - tail[i]) < FAR_TAIL
        out[place[i]] = mean + sigma * normal64(tail[i]) if far else z[i]
