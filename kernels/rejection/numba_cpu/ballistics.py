# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Exact posterior of the throw for Numba; the formulas are those of `ballistics_reference`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.rejection.ballistics_reference import (
    COUNTS_PER_METRE,
    FEWEST_COUNTS,
    HEIGHT_SIGMAS,
    NEWTON_STEPS,
)
from fastinv.kernels.rejection.envelope import BOUND_TOLERANCE, MAX_ATTEMPTS, MAX_PASSES, NO_MASS
from fastinv.kernels.rejection.numba_cpu.envelope import (
    Cells,
    finish,
    make_cells,
    pick,
    split_heavy,
    update_masses,
)

_POSTERIOR = int(Purpose.POSTERIOR)
_EPSILON = float(np.finfo(np.float64).eps)


class Target(NamedTuple):
    """One observation and the constants of the throw; fields as in the reference's Throw."""

    y: float
    weight: float  # gravity * mass
    drag: float
    time_scale: float  # mass / drag
    x1_sigma: float
    x2_mean: float
    x2_sigma: float
    angle_min: float
    angle_max: float
    rate: float


@numba.njit(cache=True)
def reach(x2, x3, x4, target):
    """Horizontal distance from the start to the impact, NaN where the throw never lands."""
    b = target.weight
    a = b + target.drag * x4 * math.sin(x3)
    c = a + x2 * target.drag / target.time_scale
    lowest = math.log(a / b)
    if not a * math.exp(-lowest) + b * lowest <= c:
        return np.nan
    time = c / b
    for _ in range(NEWTON_STEPS):
        decay = a * math.exp(-time)
        step = (decay + b * time - c) / max(b - decay, np.finfo(np.float64).tiny)
        if not step > 4.0 * _EPSILON * abs(time):
            break
        time -= step
    return -x4 * math.cos(x3) * target.time_scale * math.expm1(-time) if time >= 0.0 else np.nan


@numba.njit(inline="always")
def log_prior(z1, z2, x4, target):
    """Log prior of standardised x1 and x2 and of the count x4, up to a constant."""
    log_count = x4 * math.log(target.rate) - target.rate - math.lgamma(x4 + 1.0)
    return log_count - 0.5 * (z1 * z1 + z2 * z2)


@numba.njit(cache=True)
def log_bound(target, box, count):
    """Upper bound of the log-density on a cell; -inf where no throw of the cell lands."""
    low2, high2 = box[0], box[0] + box[1]
    low3, high3 = box[2], box[2] + box[3]
    x4 = float(count)
    cos_low, cos_high = math.cos(low3), math.cos(high3)
    longest = reach(high2, high3, x4, target) * (cos_low / cos_high)
    if math.isnan(longest):
        return -np.inf
    shortest = reach(low2, low3, x4, target) * (cos_high / cos_low)
    if math.isnan(shortest):
        a = target.weight + target.drag * x4 * math.sin(low3)
        shortest = x4 * cos_high * target.time_scale * (1.0 - target.weight / a)
    x1 = max(0.0, target.y - longest, shortest - target.y)
    x2 = max(0.0, low2 - target.x2_mean, target.x2_mean - high2)
    return log_prior(x1 / target.x1_sigma, x2 / target.x2_sigma, x4, target)


@numba.njit(cache=True)
def build(target, cells):
    """Build the envelope of one observation in place; returns the number of cells."""
    k = FEWEST_COUNTS + int(COUNTS_PER_METRE * abs(target.y)) + 1
    half = HEIGHT_SIGMAS * target.x2_sigma
    for i in range(k):
        cells.box[i, 0], cells.box[i, 1] = target.x2_mean - half, 2.0 * half
        cells.box[i, 2], cells.box[i, 3] = target.angle_min, target.angle_max - target.angle_min
        cells.tag[i] = i
        cells.log_bound[i] = log_bound(target, cells.box[i], i)
    shift = update_masses(cells, 0, k, -np.inf)
    for _ in range(MAX_PASSES):
        start, k = split_heavy(cells, k, 0)
        if start == k:
            break
        for i in range(start, k):
            cells.log_bound[i] = log_bound(target, cells.box[i], cells.tag[i])
        shift = update_masses(cells, start, k, shift)
    return finish(cells, k, shift)


@numba.njit(cache=True)
def draw(target, cells, slot, observation, k0, k1, out):
    """One exact sample into out (4,); returns the attempts, negative where the bound or the budget broke."""
    for attempt in range(MAX_ATTEMPTS):
        w0, w1, w2, w3 = philox(attempt, slot, observation, _POSTERIOR, k0, k1)
        i = pick(cells, w0)
        x2 = cells.box[i, 0] + cells.box[i, 1] * uniform(w1)
        x3 = cells.box[i, 2] + cells.box[i, 3] * uniform(w2)
        x4 = float(cells.tag[i])
        x1 = target.y - reach(x2, x3, x4, target)
        log_g = log_prior(x1 / target.x1_sigma, (x2 - target.x2_mean) / target.x2_sigma, x4, target)
        log_ratio = log_g - cells.log_bound[i]
        if log_ratio > BOUND_TOLERANCE:
            return -1
        # A throw that never lands has the ratio NaN and is rejected here.
        if math.log(uniform(w3)) < log_ratio:
            out[0], out[1], out[2], out[3] = x1, x2, x3, x4
            return attempt + 1
    return -2


@numba.njit(cache=True)
def _target(y, throw):
    gravity, drag, mass = throw[0], throw[1], throw[2]
    return Target(
        y, gravity * mass, drag, mass / drag, throw[3], throw[4], throw[5], throw[6], throw[7], throw[8]
    )


@numba.njit(cache=True)
def _first_level(y):
    """Number of first-level cells that the farthest observation needs."""
    return FEWEST_COUNTS + int(COUNTS_PER_METRE * np.abs(y).max()) + 1


@numba.njit(parallel=True, cache=True)
def sample_batch(y, throw, first_observation, first_slot, k0, k1, chunks, x, attempts):
    """Samples for many observations at once, one thread per chunk of observations.

    Args:
        y: shape (B, 1).
        throw: the nine constants of the reference's Throw.
        first_observation: index of y[0] in the random stream.
        first_slot: index of the first sample there.
        k0: low word of the seed.
        k1: high word of the seed.
        chunks: number of chunks.
        x: output, shape (B, n, 4).
        attempts: output, int64, shape (B, n); negative codes as in `draw`, NO_MASS for an empty envelope.
    """
    batch, n = attempts.shape
    for chunk in numba.prange(chunks):
        cells = make_cells(_first_level(y))
        for i in range(batch * chunk // chunks, batch * (chunk + 1) // chunks):
            target = _target(y[i, 0], throw)
            if build(target, cells) == 0:
                attempts[i] = NO_MASS
                continue
            for j in range(n):
                slot = first_slot + j
                attempts[i, j] = draw(target, cells, slot, first_observation + i, k0, k1, x[i, j])
                if attempts[i, j] < 0:  # the others would hardly fare better, and take very long
                    attempts[i, j:] = attempts[i, j]
                    break


@numba.njit(cache=True)
def _draw_slots(y, throw, box, tag, log_bound, last, guide, first_slot, observation, k0, k1, x, attempts):
    # Arrays, not a Cells: a parallel region cannot take a named tuple from outside itself.
    cells = Cells(box, tag, log_bound, log_bound, last, guide, tag)
    target = _target(y[0], throw)
    for j in range(len(attempts)):
        attempts[j] = draw(target, cells, first_slot + j, observation, k0, k1, x[j])
        if attempts[j] < 0:
            attempts[j:] = attempts[j]
            break


@numba.njit(parallel=True, cache=True)
def sample_few(y, throw, first_observation, first_slot, k0, k1, chunks, x, attempts):
    """As `sample_batch` for fewer observations than threads: the samples are shared out instead."""
    batch, n = attempts.shape
    for i in range(batch):
        cells = make_cells(_first_level(y))
        if build(_target(y[i, 0], throw), cells) == 0:
            attempts[i] = NO_MASS
            continue
        box, tag, log_bound, last, guide = cells.box, cells.tag, cells.log_bound, cells.last, cells.guide
        for chunk in numba.prange(chunks):
            begin, end = n * chunk // chunks, n * (chunk + 1) // chunks
            _draw_slots(
                y[i],
                throw,
                box,
                tag,
                log_bound,
                last,
                guide,
                first_slot + begin,
                first_observation + i,
                k0,
                k1,
                x[i, begin:end],
                attempts[i, begin:end],
            )
