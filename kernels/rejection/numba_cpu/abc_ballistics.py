# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Prior and forward process of the throw, fused: words of the random stream in, points of impact out.

The search runs in float32. A throw whose float32 result cannot be trusted (it grazes the ground, or Newton
has not settled) is computed again in float64 at once.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float32

from fastinv.kernels.random.numba_cpu import uniform
from fastinv.kernels.rejection.numba_cpu.abc_math import (
    FAST,
    exp_minus32,
    fill_words,
    log32,
    normal32,
    normal64,
    sincos32,
    words_of,
)
from fastinv.kernels.rejection.numba_cpu.ballistics import Target, reach

BLOCK = 1024
# Most throws settle in five steps; those that do not are handed to the float64 solver.
NEWTON_STEPS = 6
_f = np.float32
_SCALE32 = _f(2.0**-32)
_NAN32 = _f(np.nan)
# Bound of a float32 sum's rounding, relative to its largest term, with room for the elementary functions.
_ROUNDING = _f(1e-6)


@numba.njit(inline="always")
def count_of(word, cumulative, guide):
    """The Poisson count at a word's uniform; `guide` is a lower bound of it per leading byte."""
    u = uniform(word)
    count = guide[word >> np.uint32(24)]
    while cumulative[count] < u:
        count += 1
    return count


@numba.njit(cache=True)
def guide_of(cumulative):
    """Least count per leading byte of a word."""
    guide = np.empty(256, np.int64)
    count = 0
    for i in range(256):
        while cumulative[count] < i / 256.0:
            count += 1
        guide[i] = count
    return guide


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _simulate_block(words, speed, throw, tolerance, impact, doubtful):
    weight, drag = float32(throw[0] * throw[2]), float32(throw[1])
    scale, height_factor = float32(throw[2] / throw[1]), float32(throw[1] * throw[1] / throw[2])
    x1_sigma, x2_mean, x2_sigma = float32(throw[3]), float32(throw[4]), float32(throw[5])
    angle_min, angle_span = float32(throw[6]), float32(throw[7] - throw[6])
    trusted = float32(tolerance)
    w1, w2, w3 = words[0], words[1], words[2]
    for j in range(len(impact)):
        sine, cosine = sincos32(angle_min + angle_span * (float32(w3[j]) * _SCALE32))
        b = weight
        a = b + drag * speed[j] * sine
        c = a + (x2_mean + x2_sigma * normal32(w2[j])) * height_factor
        time = c / b
        step = time
        slope = b
        # A root left of the minimum is none of a throw's: the clamp keeps exp's argument valid there.
        for _ in range(NEWTON_STEPS):
            decay = a * exp_minus32(max(time, _f(0.0)))
            slope = b - decay
            step = (decay + b * time - c) / slope
            time = time - step
        gap = c - b - b * log32(a / b)
        distance = speed[j] * cosine * scale
        left = exp_minus32(max(time, _f(0.0)))
        error = distance * (left * (step * step + _ROUNDING * (a + c) / abs(slope)) + _ROUNDING)
        sure = (error < trusted) & (time > _ROUNDING) & (abs(step) < _f(1e-2)) & (slope > _f(0.0))
        never = gap < -_ROUNDING * (a + c)
        doubtful[j] = not ((sure & (gap > _ROUNDING * (a + c))) | never)
        y = x1_sigma * normal32(w1[j]) + distance * (_f(1.0) - left)
        impact[j] = _NAN32 if never else y


@numba.njit(inline="always")
def _target(throw):
    return Target(
        0.0,
        throw[0] * throw[2],
        throw[1],
        throw[2] / throw[1],
        throw[3],
        throw[4],
        throw[5],
        throw[6],
        throw[7],
        throw[8],
    )


@numba.njit(cache=True, nogil=True)
def _draw_one(index, throw, target, cumulative, guide, k0, k1, x):
    w1, w2, w3, w4 = words_of(index, 0, k0, k1)
    x[0] = throw[3] * normal64(uniform(w1))
    x[1] = throw[4] + throw[5] * normal64(uniform(w2))
    x[2] = throw[6] + (throw[7] - throw[6]) * uniform(w3)
    x[3] = count_of(w4, cumulative, guide)
    return x[0] + reach(x[1], x[2], x[3], target)


@numba.njit(cache=True, nogil=True)
def simulate(first, throw, cumulative, guide, tolerance, k0, k1, y):
    """Points of impact of the simulations first, first + 1, ... in float32; NaN where a throw never lands.

    Args:
        first: number of the first simulation.
        throw: the nine constants of the reference's Throw.
        cumulative: distribution function of the count, ending in 1.
        guide: `guide_of(cumulative)`.
        tolerance: largest error of a float32 result that is let through.
        k0: low word of the seed.
        k1: high word of the seed.
        y: output, float32, shape (1, n).
    """
    n = y.shape[1]
    words = np.empty((4, BLOCK), np.uint32)
    speed = np.empty(BLOCK, np.float32)
    doubtful = np.empty(BLOCK, np.bool_)
    x = np.empty(4)
    target = _target(throw)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        fill_words(first + start, 0, k0, k1, words)
        for j in range(BLOCK):
            speed[j] = count_of(words[3, j], cumulative, guide)
        part = y[0][start:stop]
        _simulate_block(words, speed, throw, tolerance, part, doubtful)
        for j in range(len(part)):
            if doubtful[j]:
                part[j] = _draw_one(first + start + j, throw, target, cumulative, guide, k0, k1, x)


@numba.njit(cache=True, nogil=True)
def draw(index, throw, cumulative, guide, k0, k1, x, y):
    """Parameters (k, 4) and points of impact (k, 1) of the simulations with these numbers, in float64."""
    target = _target(throw)
    for i in range(len(index)):
        y[i, 0] = _draw_one(index[i], throw, target, cumulative, guide, k0, k1, x[i])
