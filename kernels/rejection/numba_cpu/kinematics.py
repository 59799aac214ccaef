# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Exact posterior of the planar arm for Numba; the formulas are those of `kinematics_reference`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.rejection.envelope import BOUND_TOLERANCE, MAX_ATTEMPTS, MAX_PASSES, NO_MASS
from fastinv.kernels.rejection.intervals import TWO_PI
from fastinv.kernels.rejection.kinematics_reference import (
    ANGLE_CELLS,
    FAR,
    NEAR,
    OUTER_CELLS,
    SINGULAR,
    SINGULAR_BELOW,
    SNAP,
    SWING,
)
from fastinv.kernels.rejection.numba_cpu.envelope import (
    Cells,
    finish,
    least_wrapped,
    make_cells,
    pick,
    sin_range,
    split_heavy,
    update_masses,
    wrap,
)

FIRST_LEVEL = 2 * OUTER_CELLS * (4 * ANGLE_CELLS)
_POSTERIOR, _TURNS = int(Purpose.POSTERIOR), int(Purpose.POSTERIOR_TURNS)
# Images of a wrapped normal with a log-weight below this do not change a float64 sum.
NEGLIGIBLE = -40.0


class Target(NamedTuple):
    """One observation and the arm that made it."""

    y1: float
    y2: float
    l1: float
    l2: float
    l3: float
    s1: float
    s2: float
    s3: float
    s4: float


@numba.njit(inline="always")
def log_wrapped_normal(angle, sigma):
    """See the reference; `angle` is within [-pi, pi]."""
    scale = 0.5 / (sigma * sigma)
    x = abs(angle)
    images = 0.0
    for turn in range(1, 2 + int(sigma)):
        distance = TWO_PI * turn
        towards = -scale * distance * (distance - 2.0 * x)
        if towards > NEGLIGIBLE:
            images += math.exp(towards) + math.exp(-scale * distance * (distance + 2.0 * x))
    result = -scale * angle * angle
    return result + math.log1p(images) if images > 0.0 else result


@numba.njit(inline="always")
def log_prior(x1, x2, x3, x4, target):
    """Log prior of x with wrapped joint angles, up to a constant."""
    z = x1 / target.s1
    joints = log_wrapped_normal(x2, target.s2) + log_wrapped_normal(x3, target.s3)
    return joints + log_wrapped_normal(x4, target.s4) - 0.5 * z * z


@numba.njit(cache=True)
def first_level(target, cells):
    """Write the first-level cells, tags without SINGULAR; returns their number."""
    l1, l2, y2 = target.l1, target.l2, target.y2
    rho = (-(l1 + l2), -abs(l1 - l2), abs(l1 - l2), l1 + l2)
    border = np.empty(4)
    for i in range(4):
        cosine = (y2 - rho[i]) / target.l3
        border[i] = math.acos(cosine if abs(cosine) <= 1.0 - SNAP else math.copysign(1.0, cosine))
    k = 0
    step = TWO_PI / ANGLE_CELLS
    point_regime = NEAR if y2 > 0 else FAR
    for part in range(3):
        regime = (FAR, SWING, NEAR)[part]
        low, high = border[part], border[part + 1]
        only_point = border[0] == border[3] and regime == point_regime
        if not (high > low or only_point):
            continue
        width = (high - low) / OUTER_CELLS
        for sign in (-1.0, 1.0):
            for i in range(OUTER_CELLS):
                backward = regime == FAR or (regime == SWING and 2 * i >= OUTER_CELLS)
                for j in range(2 * ANGLE_CELLS if regime == SWING else ANGLE_CELLS):
                    even = j % 2 == 0
                    cells.box[k, 0] = sign * (low + (i + 1) * width if backward else low + i * width)
                    cells.box[k, 1] = -sign * width if backward else sign * width
                    cells.box[k, 2] = j * step if even else (j + 1) * step
                    cells.box[k, 3] = step if even else -step
                    cells.tag[k] = regime
                    k += 1
    return k


@numba.njit(cache=True)
def circle_link(length, radius_low, radius_high, low, high, far):
    """Range of a link's angle on the circle, and the lower bound of its factor of the measure."""
    scale = 1.0 / math.sqrt(2.0 * length)
    sine_low = max((radius_high if low < 0.0 else radius_low) * low * scale, -1.0)
    sine_high = min((radius_high if high > 0.0 else radius_low) * high * scale, 1.0)
    sine_low, sine_high = min(sine_low, 1.0), max(sine_high, -1.0)
    centre = math.pi if far else 0.0
    factor = 2.0 * length * (1.0 - max(sine_low * sine_low, sine_high * sine_high))
    return 2.0 * math.asin(sine_low) + centre, 2.0 * math.asin(sine_high) + centre, factor


@numba.njit(cache=True)
def ranges(target, box, regime):
    """Ranges of a, b, c, both factors of the measure from below, and the singular bound's strength."""
    l1, l2, l3 = target.l1, target.l2, target.l3
    c_low, c_high = min(box[0], box[0] + box[1]), max(box[0], box[0] + box[1])
    t_low, t_high = min(box[2], box[2] + box[3]), max(box[2], box[2] + box[3])
    cos_c = sin_range(c_low + 0.5 * math.pi, c_high + 0.5 * math.pi)
    rho_low, rho_high = target.y2 - l3 * cos_c[1], target.y2 - l3 * cos_c[0]
    cos_t = sin_range(t_low + 0.5 * math.pi, t_high + 0.5 * math.pi)
    if regime == SWING:
        long, short = max(l1, l2), min(l1, l2)
        u_low = min(max((rho_low - short * cos_t[1]) / long, -1.0), 1.0)
        u_high = min(max((rho_high - short * cos_t[0]) / long, -1.0), 1.0)
        solved_low, solved_high = math.acos(u_high), math.acos(u_low)
        if t_high > TWO_PI + 1e-9:
            solved_low, solved_high = -solved_high, -solved_low
        factors = long * (1.0 - u_high), long * (1.0 + u_low)
        if l1 > l2:
            return solved_low, solved_high, t_low, t_high, c_low, c_high, factors[0], factors[1], 0.5 * short
        return t_low, t_high, solved_low, solved_high, c_low, c_high, factors[0], factors[1], 0.5 * short
    far = regime == FAR
    if far:
        rho_low, rho_high = -rho_high, -rho_low
    q_low, q_high = max(l1 + l2 - rho_high, 0.0), max(l1 + l2 - rho_low, 0.0)
    r_low, r_high = math.sqrt(q_low), math.sqrt(q_high)
    sin_t = sin_range(t_low, t_high)
    a_low, a_high, first = circle_link(l1, r_low, r_high, cos_t[0], cos_t[1], far)
    b_low, b_high, second = circle_link(l2, r_low, r_high, sin_t[0], sin_t[1], far)
    return a_low, a_high, b_low, b_high, c_low, c_high, first, second, q_low


@numba.njit(cache=True)
def log_bound(target, box, tag):
    """Upper bound, on a cell, of the log-density of `place`."""
    regime = tag & 3
    a0, a1, b0, b1, c0, c1, first, second, strength = ranges(target, box, regime)
    result = 0.0 if regime == SWING else math.log(2.0)
    if tag & SINGULAR:
        cell_area = abs(box[1] * box[3])
        result += math.log(TWO_PI) - 0.25 * math.log(2.0 * target.l3 * strength * cell_area * cell_area)
        result -= 0.5 * math.log(max(first, second))
    else:
        result -= 0.5 * math.log(first * second)
    sin_a, sin_b, sin_c = sin_range(a0, a1), sin_range(b0, b1), sin_range(c0, c1)
    low = target.l1 * sin_a[0] + target.l2 * sin_b[0] + target.l3 * sin_c[0]
    high = target.l1 * sin_a[1] + target.l2 * sin_b[1] + target.l3 * sin_c[1]
    x1 = max(0.0, target.y1 - high, low - target.y1)
    x3, x4 = least_wrapped(b0 - a1, b1 - a0), least_wrapped(c0 - b1, c1 - b0)
    return result + log_prior(x1, least_wrapped(a0, a1), x3, x4, target)


@numba.njit(cache=True)
def build(target, cells):
    """Build the envelope of one observation in place; returns the number of cells."""
    k = first_level(target, cells)
    for i in range(k):
        bounds = ranges(target, cells.box[i], cells.tag[i])
        if min(bounds[6], bounds[7]) < SINGULAR_BELOW:
            cells.tag[i] |= SINGULAR
        cells.log_bound[i] = log_bound(target, cells.box[i], cells.tag[i])
    shift = update_masses(cells, 0, k, -np.inf)
    for _ in range(MAX_PASSES):
        start, k = split_heavy(cells, k, SINGULAR)
        if start == k:
            break
        for i in range(start, k):
            cells.log_bound[i] = log_bound(target, cells.box[i], cells.tag[i])
        shift = update_masses(cells, start, k, shift)
    return finish(cells, k, shift)


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


@numba.njit(cache=True)
def _draw_slots(y, arm, box, tag, log_bound, last, guide, first_slot, observation, k0, k1, x, attempts):
    # Arrays, not a Cells: a parallel region cannot take a named tuple from outside itself.
    cells = Cells(box, tag, log_bound, log_bound, last, guide, tag)
    target = _target(y, arm)
    for j in range(len(attempts)):
        attempts[j] = draw(target, cells, first_slot + j, observation, k0, k1, x[j])


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
