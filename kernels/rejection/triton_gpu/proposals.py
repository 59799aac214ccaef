# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""What the Triton kernels of both problems share, in float64: cells, elementary functions, wrapped angles."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from fastinv.kernels.rejection.envelope import BOUND_TOLERANCE, MAX_ATTEMPTS

HALF_PI = tl.constexpr(math.pi / 2.0)
PI = tl.constexpr(math.pi)
TWO_PI = tl.constexpr(2.0 * math.pi)
CELL_FIELDS = tl.constexpr(5)
MOST_ATTEMPTS = tl.constexpr(MAX_ATTEMPTS)
MARGIN = tl.constexpr(BOUND_TOLERANCE)


@triton.jit
def pick(last, word, begin, end, depth):
    """Index of the cell in [begin, end) that each 32-bit word selects: `depth` bisections."""
    low = begin + word.to(tl.int32) * 0
    high = end - 1 + word.to(tl.int32) * 0
    for _ in range(depth):
        middle = (low + high) // 2
        above = tl.load(last + middle).to(tl.uint32, bitcast=True) < word
        low = tl.where(above, middle + 1, low)
        high = tl.where(above, high, middle)
    return low


@triton.jit
def field(cells, index, k: tl.constexpr):
    """Field k of the indexed cells: origin and width along both axes, log-bound."""
    return tl.load(cells + index.to(tl.int64) * CELL_FIELDS + k)


@triton.jit
def verdict(log_density, log_bound, uniform, attempt):
    """Attempts used where a proposal is accepted, 0 where it is not, negative codes as in Numba's `draw`."""
    log_ratio = log_density - log_bound
    code = tl.where(tl.log(uniform) < log_ratio, attempt + 1, 0)
    code = tl.where((code == 0) & (attempt + 1 >= MOST_ATTEMPTS), -2, code)
    # Subtracted, as Triton 3.6 rounds a constant that is compared to float32.
    return tl.where(log_ratio - MARGIN > 0.0, -1, code)


@triton.jit
def asin(x):
    """Inverse sine; the polynomial is that of SLEEF, as in the C++ version."""
    magnitude = tl.abs(x)
    outer = magnitude > 0.5
    z = tl.where(outer, 0.5 - 0.5 * magnitude, x * x)
    s = tl.where(outer, tl.sqrt(z), magnitude)
    p = z * 0.3161587650653934628e-1 - 0.1581918243329996643e-1
    p = p * z + 0.1929045477267910674e-1
    p = p * z + 0.6606077476277170610e-2
    p = p * z + 0.1215360525577377331e-1
    p = p * z + 0.1388715184501609218e-1
    p = p * z + 0.1735956991223614604e-1
    p = p * z + 0.2237176181932048341e-1
    p = p * z + 0.3038195928038132237e-1
    p = p * z + 0.4464285681377102438e-1
    p = p * z + 0.7500000000378581611e-1
    p = p * z + 0.1666666666666497543
    inner = s + s * z * p
    result = tl.where(outer, HALF_PI - 2.0 * inner, inner)
    return tl.where(x < 0.0, -result, result)


@triton.jit
def acos(x):
    """Inverse cosine, accurate near x = 1."""
    close = 2.0 * asin(tl.sqrt(tl.maximum(0.5 - 0.5 * x, 0.0)))
    return tl.where(x > 0.5, close, HALF_PI - asin(x))


@triton.jit
def clamp_unit(x):
    """x within [-1, 1]."""
    return tl.minimum(tl.maximum(x, -1.0), 1.0)


@triton.jit
def wrap(angle):
    """Representative of an angle in [-pi, pi]."""
    return angle - TWO_PI * tl.floor(angle / TWO_PI + 0.5)
