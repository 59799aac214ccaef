# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Exact posterior of the planar arm for Numba; the formulas are those of `kinematics_reference`."""

from __future__ import annotations

import math

import numba

from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.rejection.envelope import BOUND_TOLERANCE, MAX_ATTEMPTS, NO_MASS
from fastinv.kernels.rejection.intervals import TWO_PI
from fastinv.kernels.rejection.kinematics_cells import FAR, SINGULAR, SWING
from fastinv.kernels.rejection.numba_cpu.envelope import Cells, make_cells, pick, wrap
from fastinv.kernels.rejection.numba_cpu.kinematics_envelope import FIRST_LEVEL, Target, build, log_prior

_POSTERIOR, _TURNS = int(Purpose.POSTERIOR), int(Purpose.POSTERIOR_TURNS)


@numba.njit(inline="always")
def place(target, box, tag, u, v):
    """Log-density at relative position (u, v) of a cell, and the absolute angles (a, b, c)."""
    log_measure = 0.0
    if tag & SINGULAR:
        log_measure = math.log(4.0 * u * v)
        u, v = u * u, v * v
    c, t = box[0] + box[1] * u, box[2] + box[3] * v
    l1, l2 = target.l1, target.l2
    rho = target.y2 - target.l3 * math.cos(c)
    regime = tag & 3
    if regime == SWING:
        long, short = max(l1, l2), min(l1, l2)
        cosine = min(max((rho - short * math.cos(t)) / long, -1.0), 1.0)
        solved = math.acos(cosine) if t < TWO_PI else -math.acos(cosine)
        a, b = (solved, t) if l1 > l2 else (t, solved)
        log_measure -= 0.5 * math.log((1.0 - cosine) * (1.0 + cosine)) + math.log(long)
    else:
        q = max(l1 + l2 - (-rho if regime == FAR else rho), 0.0)
        sin_a = min(max(math.sqrt(q / (2.0 * l1)) * math.cos(t), -1.0), 1.0)
        sin_b = min(max(math.sqrt(q / (2.0 * l2)) * math.sin(t), -1.0), 1.0)
        centre = math.pi if regime == FAR else 0.0
        a, b = 2.0 * math.asin(sin_a) + centre, 2.0 * math.asin(sin_b) + centre
        log_measure -= 0.5 * math.log(l1 * (1.0 - sin_a * sin_a) * l2 * (1.0 - sin_b * sin_b))
    x1 = target.y1 - l1 * math.sin(a) - l2 * math.sin(b) - target.l3 * math.sin(c)
    return log_measure + log_prior(x1, wrap(a), wrap(b - a), wrap(c - b), target), a, b, c


@numba.njit(cache=True)
def turns(x, sigma, word):
    """Full turns added to a joint angle x in [-pi, pi], drawn from its prior given x modulo 2 pi."""
    scale = 0.5 / (sigma * sigma)
    most = 1 + int(sigma)
    total = 1.0
    for i in range(1, most + 1):
        for sign in (-1, 1):
            image = x + TWO_PI * sign * i
            total += math.exp(-scale * (image * image - x * x))
    threshold = uniform(word) * total
    cumulative = 1.0
    if threshold <= cumulative:
        return 0
    for i in range(1, most + 1):
        for sign in (-1, 1):
            image = x + TWO_PI * sign * i
            cumulative += math.exp(-scale * (image * image - x * x))
            if threshold <= cumulative:
                return sign * i
    return most


@numba.njit(cache=True)
def draw(target, cells, slot, observation, k0, k1, out):
    """One exact sample into out (4,); returns the attempts, negative where the bound or the budget broke."""
    for attempt in range(MAX_ATTEMPTS):
        w0, w1, w2, w3 = philox(attempt, slot, observation, _POSTERIOR, k0, k1)
        i = pick(cells, w0)
        log_g, a, b, c = place(target, cells.box[i], cells.tag[i], uniform(w1), uniform(w2))
        log_ratio = log_g - cells.log_bound[i]
        # Next to a singular corner the density is a difference of nearly equal numbers: what exceeds the
        # proven bound there is rounding.
        if log_ratio > BOUND_TOLERANCE and not cells.tag[i] & SINGULAR:
            return -1
        if math.log(uniform(w3)) < log_ratio:
            w0, w1, w2, w3 = philox(0, slot, observation, _TURNS, k0, k1)
            x2, x3, x4 = wrap(a), wrap(b - a), wrap(c - b)
            out[1] = x2 + TWO_PI * turns(x2, target.s2, w0)
            out[2] = x3 + TWO_PI * turns(x3, target.s3, w1)
            out[3] = x4 + TWO_PI * turns(x4, target.s4, w2)
            # Solved last, from the angles as returned, so that the residual is a rounding error.
            a, b, c = out[1], out[1] + out[2], out[1] + out[2] + out[3]
            out[0] = target.y1 - target.l1 * math.sin(a) - target.l2 * math.sin(b) - target.l3 * math.sin(c)
            return attempt + 1
    return -2


@numba.njit(cache=True)
def _target(y, arm):
    return Target(y[0], y[1], arm[0], arm[1], arm[2], arm[3], arm[4], arm[5], arm[6])


@numba.njit(parallel=True, cache=True)
def sample_batch(y, arm, first_observation, first_slot, k0, k1, chunks, x, attempts):
    """Samples for many observations at once, one thread per chunk of observations.

    Args:
        y: shape (B, 2).
        arm: three lengths and four sigmas.
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
        cells = make_cells(FIRST_LEVEL)
        for i in range(batch * chunk // chunks, batch * (chunk + 1) // chunks):
            target = _target(y[i], arm)
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
def _draw_slots(y, arm, box, tag, log_bound, last, guide, first_slot, observation, k0, k1, x, attempts):
    # Arrays, not a Cells: a parallel region cannot take a named tuple from outside itself.
    cells = Cells(box, tag, log_bound, log_bound, last, guide, tag)
    target = _target(y, arm)
    for j in range(len(attempts)):
        attempts[j] = draw(target, cells, first_slot + j, observation, k0, k1, x[j])
        if attempts[j] < 0:
            attempts[j:] = attempts[j]
            break


@numba.njit(parallel=True, cache=True)
def sample_few(y, arm, first_observation, first_slot, k0, k1, chunks, x, attempts):
    """As `sample_batch` for fewer observations than threads: the samples are shared out instead."""
    batch, n = attempts.shape
    for i in range(batch):
        cells = make_cells(FIRST_LEVEL)
        if build(_target(y[i], arm), cells) == 0:
            attempts[i] = NO_MASS
            continue
        box, tag, log_bound, last, guide = cells.box, cells.tag, cells.log_bound, cells.last, cells.guide
        for chunk in numba.prange(chunks):
            begin, end = n * chunk // chunks, n * (chunk + 1) // chunks
            _draw_slots(
                y[i],
                arm,
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
